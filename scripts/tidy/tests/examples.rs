//! Which public items lack an example, in this workspace and in made-up files.

use std::{fs, io::ErrorKind, path::Path};

use tidy::{Member, lines_without_example, missing_examples, of_workspace};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn member(path: &str) -> Member {
    Member { name: path.into(), path: path.into(), dependencies: Vec::new() }
}

#[test]
fn this_workspace_has_its_examples() {
    let members = of_workspace(&root().join("Cargo.toml")).unwrap();
    let missing = missing_examples(root(), &members).unwrap();
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    assert!(missing.is_empty(), "\n{}", missing.join("\n"));
}

#[test]
fn a_missing_example_is_reported_with_its_file_and_line() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("examples");
    let source = "//! A crate.\n\n/// Adds.\npub fn add() {}\n";
    for path in ["modules/net", "api/net", "apps/net"] {
        fs::create_dir_all(root.join(path).join("src/ip")).unwrap();
        fs::write(root.join(path).join("src/ip/mod.rs"), source).unwrap();
        fs::write(root.join(path).join("src/ip/mod.rs.orig"), source).unwrap();
    }
    let members = ["modules/net", "api/net", "apps/net"].map(member);
    let missing = missing_examples(&root, &members).unwrap();
    let missing: Vec<_> = missing.iter().map(ToString::to_string).collect();
    assert_eq!(
        missing,
        [
            "modules/net/src/ip/mod.rs:4: a public item without an example",
            "api/net/src/ip/mod.rs:4: a public item without an example",
        ]
    );
}

#[test]
fn a_crate_without_sources_is_an_error() {
    let error = missing_examples(root(), &[member("modules/missing")]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("modules/missing/src: "), "{error}");
}

/// Items that are public in every place where the line that begins them stands.
const ITEMS: [&str; 13] = [
    "pub fn add() {}",
    "pub const fn add() {}",
    "pub async fn add() {}",
    "pub unsafe fn add() {}",
    "pub extern \"C\" fn add() {}",
    "pub const unsafe extern \"C\" fn add() {}",
    "pub struct Add;",
    "pub enum Add {",
    "pub trait Add {",
    "pub unsafe trait Add {",
    "pub union Add {",
    "pub type Add = u8;",
    "pub macro add() {",
];

#[test]
fn every_kind_of_public_item_needs_an_example() {
    for item in ITEMS {
        assert_eq!(lines_without_example(item), [1], "{item}");
        assert_eq!(lines_without_example(&format!("/// Adds.\n{item}")), [2], "{item}");
        let method = format!("impl Sum {{\n    /// Adds.\n    {item}\n}}");
        assert_eq!(lines_without_example(&method), [3], "{item}");
    }
}

#[test]
fn an_example_is_in_the_comments_and_attributes_right_above() {
    for above in [
        "/// Adds.\n///\n/// ```\n/// add();\n/// ```",
        "/// ```no_run\n/// add();\n/// ```\n///\n/// # Errors\n/// There are none.",
        "/// ```\n/// add();\n/// ```\n#[must_use]",
        "/// ```\n/// add();\n/// ```\n#[allow(\n    dead_code,\n    reason = \"[rare]\"\n)]",
        "/// ```\n/// add();\n/// ```\n// Slow.\n",
        "#[doc = \"```\\nadd();\\n```\"]",
        "#[doc = concat!(\n    \"```\\nadd(\", 1, \");\\n```\"\n)]",
    ] {
        for item in ITEMS {
            assert_eq!(lines_without_example(&format!("{above}\n{item}")), [0; 0], "{above}");
        }
    }
}

#[test]
fn an_example_counts_for_one_item() {
    let example = "/// ```\n/// add();\n/// ```";
    for (between, line) in [("pub fn a() {}", 5), ("fn a() {}", 5), ("impl Sum {", 5)] {
        let source = format!("{example}\n{between}\npub fn add() {{}}");
        assert_eq!(lines_without_example(&source), [line], "{between}");
    }
    for comment in ["//! ```", "// ```", "let x = \"```\";"] {
        assert_eq!(lines_without_example(&format!("{comment}\npub fn add() {{}}")), [2]);
    }
}

#[test]
fn what_is_not_public_needs_none() {
    for item in [
        "fn add() {}",
        "pub(crate) fn add() {}",
        "pub(super) struct Add;",
        "pub mod add;",
        "pub use sum::add;",
        "pub const ADD: fn() = add;",
        "pub static ADD: u8 = 1;",
        "pub field: u8,",
        "macro_rules! add {",
        "trait Add {\n    fn add();\n}",
        "impl Add for u8 {\n    fn add() {}\n    type Output = u8;\n}",
    ] {
        assert_eq!(lines_without_example(item), [0; 0], "{item}");
    }
}

#[test]
fn functions_of_a_public_trait_are_public() {
    let source = "
/// ```
/// ```
pub trait Add {
    type Output;
    const ONE: u8;
    /// Adds.
    fn add() {
        fn inner() {}
    }
    /// ```
    /// ```
    unsafe fn sub();
    #[doc(hidden)]
    fn hidden();
    async fn wait(
        self,
    );
}

fn private() {}
impl Add for u8 {
    fn add() {}
}
";
    assert_eq!(lines_without_example(source), [8, 16]);
}

#[test]
fn what_is_hidden_is_skipped_to_its_end() {
    for above in
        ["#[cfg(test)]", "#[cfg(all(test, loom))]", "#[doc(hidden)]", "/// Hidden.\n#[doc(hidden)]"]
    {
        for item in [
            "pub fn add() {}",
            "pub struct Add;",
            "pub fn add(\n    one: u8,\n) -> u8\nwhere\n    u8: Copy,\n{\n    pub fn inner() {}\n}",
            "mod tests {\n    pub fn add() {}\n\n    pub trait Add {\n        fn add();\n    }\n}",
            "pub trait Add {\n    fn add();\n}",
            "use sum::{\n    add,\n};",
        ] {
            let source = format!("{above}\n{item}\npub fn after() {{}}");
            assert_eq!(lines_without_example(&source), [source.lines().count()], "{source}");
        }
    }
}

#[test]
fn a_macro_needs_an_example_if_it_is_exported_and_what_it_makes_does_not() {
    let source = "
macro_rules! one {
    () => {
        /// Adds.
        pub fn add() {}
    };
}
one!();
#[macro_export]
macro_rules! two {
    () => {
        pub fn sub() {}
    };
}
/// ```
/// three!();
/// ```
#[macro_export]
macro_rules! three {
    () => {};
}
three! {
    pub fn written_out() {}
}
";
    assert_eq!(lines_without_example(source), [10, 23]);
}
