//! Images of our own applications.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{Result, service::Service};

/// Builds the image of an application.
///
/// # Errors
/// It is not built; why, the compiler has said.
pub(crate) fn build(app: &str) -> Result<PathBuf> {
    build_with(app, &[])
}

/// Where [`build`] puts it.
pub(crate) fn path(app: &str) -> PathBuf {
    PathBuf::from(format!("target/images/{app}-x86_64"))
}

fn build_with(app: &str, variables: &[(&str, &str)]) -> Result<PathBuf> {
    let output = Command::new("scripts/image.sh")
        .arg(format!("apps/{app}"))
        .envs(variables.iter().copied())
        .stderr(Stdio::inherit())
        .output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    match printed.lines().last() {
        Some(path) if output.status.success() => Ok(path.into()),
        _ => Err(format!("the image of {app} was not built").into()),
    }
}

/// Builds the image that has a service, with line tables, which change nothing of its code, and
/// copies it to `out`.
///
/// # Errors
/// It is not built, or cannot be copied.
pub(crate) fn with_lines(service: Service, out: &Path) -> Result<()> {
    // "Line tables only" would leave out the paths of functions that were inlined.
    let variables = [("CARGO_PROFILE_RELEASE_DEBUG", "limited")];
    let image = build_with(service.app(), &variables)?;
    fs::create_dir_all(out)?;
    fs::copy(image, path_with_lines(service, out))?;
    Ok(())
}

/// Where [`with_lines`] puts it.
pub(crate) fn path_with_lines(service: Service, out: &Path) -> PathBuf {
    out.join(format!("{}-lines", service.app()))
}
