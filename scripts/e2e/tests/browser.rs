//! The page of `apps/httpd` in a real browser.

use std::{collections::BTreeSet, fs, process::Command, time::Duration};

use e2e::{
    Boot,
    browser::{Browser, needs_browser},
    eventually, root, run,
};

/// Bodies that the page loads at once.
const DOWNLOADS: usize = 6;
/// Connections that are certain to be open at once: the page names three parts in one go.
const CONNECTIONS_MIN: usize = 3;

/// How many connections to the guest have been open at once, by the capture: each from its SYN to
/// the browser's FIN.
fn most_connections() -> usize {
    let filter = "dst port 80 and tcp[tcpflags] & (tcp-syn|tcp-fin) != 0";
    let dump = root().join("target/netdump.pcap");
    let lines = run(Command::new("tcpdump").args(["-nnr"]).arg(dump).arg(filter));
    let (mut open, mut most) = (BTreeSet::new(), 0);
    for line in String::from_utf8_lossy(&lines).lines() {
        let (from, flags) = line.split_once(" > ").expect("an address and another");
        let client = from.rsplit(' ').next().expect("a last word").to_owned();
        match flags.contains("Flags [S]") {
            true => open.insert(client),
            false => open.remove(&client),
        };
        most = most.max(open.len());
    }
    most
}

/// One of the stack's figures as the page shows it.
fn shown(name: &str) -> String {
    format!("+document.getElementById('{name}')?.innerText.replaceAll(',', '')")
}

#[test]
fn the_page_loads_over_parallel_connections_and_its_counters_move() {
    if needs_browser() {
        return;
    }
    let _old = fs::remove_file(root().join("target/netdump.pcap"));
    let guest = Boot::new("httpd").variable("NET_DUMP", "y").serve();
    let mut page = Browser::open(&guest.url("/"));
    let whole =
        "[...document.querySelectorAll('#downloads span')].filter(it => it.innerText == 'whole')";
    page.wait_until(&format!("{whole}.length == {DOWNLOADS}"));
    page.wait_until("document.querySelector('h1 img').naturalWidth > 0");
    page.wait_until("getComputedStyle(document.querySelector('h1')).display == 'flex'");
    let opened = most_connections();
    println!("the browser had {opened} connections at a time");
    assert!(opened >= CONNECTIONS_MIN, "{opened} connections at a time");

    for name in ["uptime_ms", "frames_received", "bytes_received", "bytes_sent"] {
        page.wait_until(&format!("{} > 0", shown(name)));
        let before = page.evaluate(&shown(name));
        page.wait_until(&format!("{} > {before}", shown(name)));
    }
    // They are the stack's: it goes on to show what has been counted outside of the page.
    let counted = guest.stat("frames_received");
    page.wait_until(&format!("{} >= {counted}", shown("frames_received")));

    drop(page);
    eventually(Duration::from_secs(30), || guest.stat("tcp_open"), |open| *open == 1);
}
