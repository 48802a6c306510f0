//! Checks which crate depends on which, and that public items have examples.
//!
//! The rules are tables (`rules`). Every crate of the workspace is in one with what it may depend
//! on, and what is not allowed there is forbidden. That check ([`violations`]) knows nothing of
//! Cargo; `graph` turns `cargo metadata` into what it looks at. `examples` looks at source files.

#![forbid(unsafe_code)]

mod examples;
mod graph;
mod rules;

use std::fmt;

pub use examples::{MissingExample, lines_without_example, missing_examples};
pub use graph::{Member, of_workspace};
use rules::{OWNERS, Owner, RULES, Rule};

/// How a dependency is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// In every build.
    Always,
    /// Only on targets without an operating system.
    OnBareMetal,
    /// By tests, examples and benchmarks.
    InTests,
}

/// One line of a crate's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The package's own name, whatever it is renamed to.
    pub name: String,
    /// What it is for.
    pub usage: Use,
}

/// A dependency, or a crate, that no rule allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The crate whose manifest must change.
    pub member: String,
    /// What it must not depend on; nothing if the crate itself is unknown.
    pub dependency: Option<String>,
    /// The rule in words.
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.dependency {
            Some(dependency) => write!(f, "{} -> {dependency}: {}", self.member, self.rule),
            None => write!(f, "{}: {}", self.member, self.rule),
        }
    }
}

/// Everything in the workspace that breaks a rule, in the order of `members`.
pub fn violations(members: &[Member]) -> Vec<Violation> {
    members.iter().flat_map(|member| violations_of(member, members)).collect()
}

fn violations_of(member: &Member, members: &[Member]) -> Vec<Violation> {
    let violation = |dependency: Option<&Dependency>, rule: String| Violation {
        member: member.name.clone(),
        dependency: dependency.map(|dependency| dependency.name.clone()),
        rule,
    };
    let Some(rule) = rule_for(member) else {
        return vec![violation(None, "a new crate must be entered in the table of rules".into())];
    };
    let broken = |dependency: &Dependency| {
        let broken = match members.iter().find(|other| other.name == dependency.name) {
            Some(other) => broken_inside(member, rule, other, dependency.usage),
            None => broken_outside(member, dependency),
        };
        broken.map(|rule| violation(Some(dependency), rule))
    };
    member.dependencies.iter().filter_map(broken).collect()
}

fn rule_for(member: &Member) -> Option<&'static Rule> {
    RULES.iter().find(|rule| matches(rule.member, &member.path))
}

/// The rule that a dependency on another crate of the workspace breaks.
fn broken_inside(member: &Member, rule: &Rule, other: &Member, usage: Use) -> Option<String> {
    let is_in = |patterns: &[&str]| patterns.iter().any(|pattern| matches(pattern, &other.path));
    let is_allowed = match usage {
        Use::Always => is_in(rule.always),
        Use::OnBareMetal => is_in(rule.always) || is_in(rule.on_bare_metal),
        // Tests may use whatever lies below, and the crate itself with other features.
        Use::InTests => member.name == other.name || is_below(rule, other),
    };
    let here = &member.path;
    match usage {
        _ if is_allowed => None,
        Use::Always if is_in(rule.on_bare_metal) => {
            Some(format!("{here} may use it for target_os = \"none\" only"))
        }
        Use::InTests => Some(format!("tests of {here} may use what is below it only")),
        Use::Always | Use::OnBareMetal => {
            Some(format!("{here} may depend on {} only", rule.allowed()))
        }
    }
}

/// Whether `other` can be reached from `rule` through what the rules allow.
fn is_below(rule: &Rule, other: &Member) -> bool {
    rule.below().any(|pattern| {
        matches(pattern, &other.path)
            || RULES.iter().any(|next| next.member == pattern && is_below(next, other))
    })
}

/// The rule that a dependency on a crate from elsewhere breaks.
fn broken_outside(member: &Member, dependency: &Dependency) -> Option<String> {
    let owner = OWNERS.iter().find(|owner| (owner.is_owned)(&dependency.name))?;
    let is_in = |patterns: &[&str]| patterns.iter().any(|pattern| matches(pattern, &member.path));
    let is_allowed =
        is_in(owner.always) || (dependency.usage == Use::OnBareMetal && is_in(owner.on_bare_metal));
    (!is_allowed).then(|| {
        let Owner { what, always, on_bare_metal, .. } = owner;
        let mut places = always.join(", ");
        if !on_bare_metal.is_empty() {
            let none = on_bare_metal.join(", ");
            places = format!("{places} and, for target_os = \"none\" only, {none}");
        }
        format!("{what} may be named in {places} only")
    })
}

/// Whether a path is the one that `pattern` names, or begins like it if it ends in a star.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => path.starts_with(prefix),
        None => path == pattern,
    }
}
