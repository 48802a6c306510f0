//! The rules, on this workspace and on made-up ones.

use std::path::Path;

use tidy::{Dependency, Member, Use, of_workspace, violations};

const ALWAYS: Use = Use::Always;
const ON_BARE_METAL: Use = Use::OnBareMetal;
const IN_TESTS: Use = Use::InTests;

/// The crate at `path`, named after its last part.
fn member(path: &str, dependencies: &[(&str, Use)]) -> Member {
    let dependency = |&(name, usage): &(&str, Use)| Dependency { name: String::from(name), usage };
    Member {
        name: path.rsplit('/').next().unwrap_or(path).into(),
        path: path.into(),
        dependencies: dependencies.iter().map(dependency).collect(),
    }
}

/// What is wrong with a workspace in which one crate depends on something.
fn complaints(path: &str, dependency: &str, usage: Use) -> Vec<String> {
    let others = [
        "modules/netdev",
        "modules/netstack",
        "modules/netasync",
        "modules/virtio-net",
        "modules/axnet",
        "platforms/qemu-x86_64",
        "api/axwire",
        "api/axwire-macros",
        "apps/echo",
        "scripts/e2e",
        "scripts/bench/http",
    ];
    let mut members: Vec<_> =
        others.iter().filter(|other| **other != path).map(|other| member(other, &[])).collect();
    members.push(member(path, &[(dependency, usage)]));
    violations(&members).iter().map(ToString::to_string).collect()
}

#[test]
fn this_workspace_is_tidy() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let members = of_workspace(&manifest).unwrap();
    assert!(members.iter().any(|member| member.path == "modules/netstack"));
    let complaints: Vec<_> = violations(&members).iter().map(ToString::to_string).collect();
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn what_is_allowed_is_silent() {
    for (path, dependency, usage) in [
        ("modules/netstack", "netdev", ALWAYS),
        ("modules/netstack", "smoltcp", ALWAYS),
        ("modules/netstack", "smoltcp", IN_TESTS),
        ("modules/netstack", "slab", ALWAYS),
        ("modules/netasync", "axerrno", ALWAYS),
        ("modules/netasync", "netasync", IN_TESTS),
        ("modules/virtio-net", "netdev", ALWAYS),
        ("modules/axnet", "qemu-x86_64", ON_BARE_METAL),
        ("modules/axnet", "axhal", ON_BARE_METAL),
        ("platforms/qemu-x86_64", "virtio-net", ON_BARE_METAL),
        ("platforms/qemu-x86_64", "axhal", ON_BARE_METAL),
        ("platforms/qemu-riscv64", "virtio-net", ALWAYS),
        ("api/axwire", "axnet", ON_BARE_METAL),
        ("api/axwire", "axstd", ON_BARE_METAL),
        ("api/axwire", "netdev", IN_TESTS),
        ("apps/echo", "axwire", ALWAYS),
        ("apps/brand-new", "axwire", ALWAYS),
        ("apps/echo", "netasync", IN_TESTS),
        ("scripts/e2e", "netstack", ALWAYS),
        ("scripts/bench-flows", "smoltcp", ALWAYS),
        ("scripts/bench/server", "http", ALWAYS),
    ] {
        assert_eq!(complaints(path, dependency, usage), [""; 0], "{path} -> {dependency}");
    }
}

#[test]
fn what_is_forbidden_is_named() {
    let only = |who: &str, what: &str| format!("{who} may depend on {what} only");
    for (path, dependency, usage, rule) in [
        ("modules/netdev", "netstack", ALWAYS, only("modules/netdev", "nothing of the workspace")),
        ("modules/netstack", "netasync", ALWAYS, only("modules/netstack", "modules/netdev")),
        ("modules/virtio-net", "netstack", ALWAYS, only("modules/virtio-net", "modules/netdev")),
        ("apps/echo", "netasync", ALWAYS, only("apps/echo", "api/axwire")),
        ("apps/echo", "e2e", ALWAYS, only("apps/echo", "api/axwire")),
        (
            "platforms/qemu-x86_64",
            "axnet",
            ON_BARE_METAL,
            only("platforms/qemu-x86_64", "modules/virtio-net, modules/netdev"),
        ),
        (
            "api/axwire",
            "axnet",
            ALWAYS,
            "api/axwire may use it for target_os = \"none\" only".into(),
        ),
        (
            "modules/netstack",
            "netasync",
            IN_TESTS,
            "tests of modules/netstack may use what is below it only".into(),
        ),
        (
            "modules/netasync",
            "e2e",
            IN_TESTS,
            "tests of modules/netasync may use what is below it only".into(),
        ),
        (
            "modules/netasync",
            "smoltcp",
            ALWAYS,
            "smoltcp may be named in modules/netstack, scripts/bench-flows only".into(),
        ),
        (
            "api/axwire",
            "axstd",
            ALWAYS,
            "ArceOS (ax*) may be named in modules/axnet, platforms/qemu-* and, for \
             target_os = \"none\" only, api/axwire only"
                .into(),
        ),
    ] {
        let name = path.rsplit('/').next().unwrap();
        let wanted = format!("{name} -> {dependency}: {rule}");
        assert_eq!(complaints(path, dependency, usage), [wanted]);
    }
}

#[test]
fn arceos_stays_out_of_the_portable_crates() {
    for path in ["modules/netstack", "modules/netasync", "modules/virtio-net", "apps/echo"] {
        for usage in [ALWAYS, ON_BARE_METAL, IN_TESTS] {
            assert_eq!(complaints(path, "axtask", usage).len(), 1, "{path}");
        }
    }
}

#[test]
fn an_unknown_crate_is_a_violation() {
    let complaints = violations(&[member("modules/brand-new", &[("log", ALWAYS)])]);
    let wanted = "brand-new: a new crate must be entered in the table of rules";
    assert_eq!(complaints.iter().map(ToString::to_string).collect::<Vec<_>>(), [wanted]);
}

#[test]
fn every_violation_is_reported() {
    let dependencies = [("smoltcp", ALWAYS), ("netasync", ALWAYS), ("axhal", ALWAYS)];
    let members = [member("apps/echo", &dependencies), member("modules/netasync", &[])];
    assert_eq!(violations(&members).len(), 3);
}
