//! The rules. A new crate is a new line here.
//!
//! Crates are named by their path in the workspace; a star at the end stands for any rest.

/// What one crate, or a family of them, may depend on in the workspace.
pub(crate) struct Rule {
    pub(crate) member: &'static str,
    pub(crate) always: &'static [&'static str],
    /// Besides, under `cfg(target_os = "none")`.
    pub(crate) on_bare_metal: &'static [&'static str],
}

impl Rule {
    const fn new(member: &'static str, always: &'static [&'static str]) -> Self {
        Rule { member, always, on_bare_metal: &[] }
    }

    pub(crate) fn below(&self) -> impl Iterator<Item = &'static str> {
        self.always.iter().chain(self.on_bare_metal).copied()
    }

    pub(crate) fn allowed(&self) -> String {
        match self.always {
            [] => "nothing of the workspace".into(),
            always => always.join(", "),
        }
    }
}

const NETDEV: &str = "modules/netdev";
const NETSTACK: &str = "modules/netstack";
const NETASYNC: &str = "modules/netasync";
const VIRTIO_NET: &str = "modules/virtio-net";
const AXNET: &str = "modules/axnet";
const PLATFORMS: &str = "platforms/qemu-*";
const SIM: &str = "platforms/sim";
const AXWIRE: &str = "api/axwire";
const AXWIRE_MACROS: &str = "api/axwire-macros";
/// Measures smoltcp beside netstack.
const BENCH_FLOWS: &str = "scripts/bench-flows";

/// Bottom to top.
pub(crate) const RULES: &[Rule] = &[
    Rule::new(NETDEV, &[]),
    Rule::new(NETSTACK, &[NETDEV]),
    Rule::new(NETASYNC, &[NETSTACK, NETDEV]),
    Rule::new(VIRTIO_NET, &[NETDEV]),
    Rule::new(PLATFORMS, &[VIRTIO_NET, NETDEV]),
    // A platform for tests on the host, which has its runners itself.
    Rule::new(SIM, &[NETASYNC, NETSTACK, NETDEV]),
    Rule::new(AXNET, &[NETASYNC, NETSTACK, NETDEV, VIRTIO_NET, PLATFORMS]),
    Rule::new(AXWIRE_MACROS, &[]),
    Rule { member: AXWIRE, always: &[NETASYNC, NETSTACK, AXWIRE_MACROS], on_bare_metal: &[AXNET] },
    Rule::new("apps/*", &[AXWIRE]),
    // Requests and responses, which the server on upstream's ArceOS has as well.
    Rule::new("scripts/bench/server", &["scripts/bench/http"]),
    // Host tools. Nothing else lists them, so nothing depends on them.
    Rule::new(
        "scripts/*",
        &[NETDEV, NETSTACK, NETASYNC, VIRTIO_NET, PLATFORMS, SIM, AXNET, AXWIRE, AXWIRE_MACROS],
    ),
];

/// Crates whose public items must each have an example. What platforms have runs on their machine
/// alone.
pub(crate) const WITH_EXAMPLES: &[&str] = &["modules/*", "api/*"];

/// Where a crate from elsewhere may be named.
pub(crate) struct Owner {
    pub(crate) what: &'static str,
    pub(crate) is_owned: fn(&str) -> bool,
    pub(crate) always: &'static [&'static str],
    /// Besides, under `cfg(target_os = "none")`.
    pub(crate) on_bare_metal: &'static [&'static str],
}

pub(crate) const OWNERS: &[Owner] = &[
    Owner {
        what: "smoltcp",
        is_owned: |name| name == "smoltcp",
        always: &[NETSTACK, BENCH_FLOWS],
        on_bare_metal: &[],
    },
    Owner {
        what: "ArceOS (ax*)",
        // axerrno is a list of error codes and works anywhere.
        is_owned: |name| name.starts_with("ax") && name != "axerrno",
        always: &[AXNET, PLATFORMS],
        on_bare_metal: &[AXWIRE],
    },
];
