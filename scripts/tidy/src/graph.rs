//! The workspace as the rules look at it, from `cargo metadata`.

use std::path::Path;

use cargo_metadata::{DependencyKind, Error, MetadataCommand, Package};

use crate::{Dependency, Use};

/// One crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it lies, relative to the root of the workspace.
    pub path: String,
    /// What its manifest lists.
    pub dependencies: Vec<Dependency>,
}

/// The crates of the workspace that `manifest` belongs to.
///
/// # Errors
/// Cargo cannot be run, or does not understand a manifest.
pub fn of_workspace(manifest: &Path) -> Result<Vec<Member>, Error> {
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec()?;
    let root = metadata.workspace_root.as_std_path();
    Ok(metadata.workspace_packages().into_iter().map(|package| member(package, root)).collect())
}

fn member(package: &Package, root: &Path) -> Member {
    let dir = package.manifest_path.parent().map_or(Path::new(""), |dir| dir.as_std_path());
    Member {
        name: package.name.to_string(),
        path: dir.strip_prefix(root).unwrap_or(dir).display().to_string(),
        dependencies: package.dependencies.iter().map(dependency).collect(),
    }
}

fn dependency(dependency: &cargo_metadata::Dependency) -> Dependency {
    const BARE_METAL: &str = "cfg(target_os = \"none\")";
    let target = dependency.target.as_ref().map(ToString::to_string);
    let usage = match dependency.kind {
        DependencyKind::Development => Use::InTests,
        _ if target.as_deref() == Some(BARE_METAL) => Use::OnBareMetal,
        _ => Use::Always,
    };
    Dependency { name: dependency.name.clone(), usage }
}
