//! Which function an instruction belongs to, and which part of the system that is.

use std::{fmt, path::Path};

use addr2line::Loader;

use crate::Result;

/// The parts of the system that a profile is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layer {
    Driver,
    Stack,
    Runtime,
    Application,
    /// Copying, filling and comparing.
    Memory,
    Allocation,
    Kernel,
    /// Code of libraries that nobody in particular called.
    Library,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layer::Driver => "driver (virtio-net, virtio-drivers, DMA)",
            Layer::Stack => "netstack",
            Layer::Runtime => "netasync, executor",
            Layer::Application => "application, axwire",
            Layer::Memory => "memcpy and its kind",
            Layer::Allocation => "allocator",
            Layer::Kernel => "ArceOS, interrupts",
            Layer::Library => "libraries",
        })
    }
}

/// Crates by their layer; what is not here is a library or, if it has a `main`, the application.
const CRATES: &[(&str, Layer)] = &[
    ("virtio_net", Layer::Driver),
    ("virtio_drivers", Layer::Driver),
    ("netdev", Layer::Driver),
    ("axnet", Layer::Driver),
    ("qemu_x86_64", Layer::Driver),
    ("netstack", Layer::Stack),
    ("smoltcp", Layer::Stack),
    ("managed", Layer::Stack),
    ("siphasher", Layer::Stack),
    ("netasync", Layer::Runtime),
    ("async_task", Layer::Runtime),
    ("axwire", Layer::Application),
    ("httpd", Layer::Application),
    ("echo", Layer::Application),
    ("httparse", Layer::Application),
    ("axalloc", Layer::Allocation),
    ("allocator", Layer::Allocation),
    ("axallocator", Layer::Allocation),
    ("rlsf", Layer::Allocation),
    ("slab_allocator", Layer::Allocation),
    ("buddy_slab_allocator", Layer::Allocation),
    ("axhal", Layer::Kernel),
    ("axtask", Layer::Kernel),
    ("axsched", Layer::Kernel),
    ("axcpu", Layer::Kernel),
    ("axplat", Layer::Kernel),
    ("axplat_x86_pc", Layer::Kernel),
    ("axruntime", Layer::Kernel),
    ("axlog", Layer::Kernel),
    ("kernel_guard", Layer::Kernel),
    ("x2apic", Layer::Kernel),
    ("x86_64", Layer::Kernel),
    ("trap_handler", Layer::Kernel),
    ("memcpy", Layer::Memory),
    ("memmove", Layer::Memory),
    ("memset", Layer::Memory),
    ("memcmp", Layer::Memory),
    ("bcmp", Layer::Memory),
    ("compiler_builtins", Layer::Memory),
    ("__rustc", Layer::Allocation),
    ("__rust_alloc", Layer::Allocation),
    ("__rust_dealloc", Layer::Allocation),
    ("__rust_realloc", Layer::Allocation),
];

/// A place in the code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) layer: Layer,
    /// The function of the linked image.
    pub(crate) symbol: String,
    /// The function of the source: of those that were inlined here, the innermost that is not a
    /// library's.
    pub(crate) function: String,
    /// Its file and line.
    pub(crate) line: String,
}

/// An image's symbols and line tables.
pub(crate) struct Symbols {
    loader: Loader,
}

impl Symbols {
    /// Those of an image that was built with line tables.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn load(image: &Path) -> Result<Self> {
        let loader = Loader::new(image).map_err(|error| format!("{}: {error}", image.display()))?;
        Ok(Symbols { loader })
    }

    /// Where an address lies.
    pub(crate) fn place(&self, address: u64) -> Place {
        let symbol = self.loader.find_symbol(address).map_or_else(
            || "(no symbol)".into(),
            |name| format!("{:#}", rustc_demangle::demangle(name)),
        );
        let frames = self.frames(address);
        let own = frames.iter().find(|(name, _)| own_layer(name).is_some());
        let (function, line) =
            own.or(frames.first()).cloned().unwrap_or_else(|| (symbol.clone(), String::new()));
        // A copy is a copy, whoever is beside it in the source.
        let layer = match own_layer(&symbol) {
            Some(Layer::Memory) => Layer::Memory,
            _ => layer_of(&function).or(layer_of(&symbol)).unwrap_or(Layer::Library),
        };
        Place { layer, symbol, function, line }
    }

    /// The functions at an address with their lines, innermost first.
    fn frames(&self, address: u64) -> Vec<(String, String)> {
        let mut frames = vec![];
        let Ok(mut found) = self.loader.find_frames(address) else {
            return frames;
        };
        while let Ok(Some(frame)) = found.next() {
            let Some(name) = frame.function.and_then(|name| {
                let name = name.raw_name().ok()?.into_owned();
                Some(format!("{:#}", rustc_demangle::demangle(&name)))
            }) else {
                continue;
            };
            let line = frame
                .location
                .and_then(|location| Some(format!("{}:{}", short(location.file?), location.line?)));
            frames.push((name, line.unwrap_or_default()));
        }
        frames
    }
}

/// A path from the name of its crate on.
fn short(path: &str) -> &str {
    let parts: Vec<usize> = path.match_indices('/').map(|(at, _)| at + 1).collect();
    let src = path.rfind("/src/").map_or(0, |at| at + 1);
    let from = parts.iter().rev().find(|at| **at < src);
    &path[from.copied().unwrap_or(0)..]
}

/// The layer of the crate that a function is in.
fn own_layer(function: &str) -> Option<Layer> {
    words(function).next().and_then(layer_of_crate)
}

/// The same or, if it is a library's, that of the first type that it is made for.
fn layer_of(function: &str) -> Option<Layer> {
    words(function).find_map(layer_of_crate)
}

fn layer_of_crate(word: &str) -> Option<Layer> {
    CRATES.iter().find(|(name, _)| *name == word).map(|(_, layer)| *layer)
}

/// The first words of all paths in a name.
fn words(function: &str) -> impl Iterator<Item = &str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    function.split(move |c| !is_part(c)).filter_map(|path| path.split("::").find(|w| !w.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers() {
        let stack = "<hashbrown::raw::RawTable<(netstack::flow::Tuple, usize)>>::reserve_rehash";
        assert_eq!((own_layer(stack), layer_of(stack)), (None, Some(Layer::Stack)));
        assert_eq!(layer_of("<netasync::timer::Sleep as Future>::poll"), Some(Layer::Runtime));
        assert_eq!(layer_of("memcpy"), Some(Layer::Memory));
        assert_eq!(layer_of("core::fmt::write"), None);
    }

    #[test]
    fn paths_begin_with_the_crate() {
        assert_eq!(short("/home/me/modules/netstack/src/tcp/call.rs"), "netstack/src/tcp/call.rs");
        assert_eq!(short("/registry/httparse-1.10.1/src/lib.rs"), "httparse-1.10.1/src/lib.rs");
        assert_eq!(short("src/main.rs"), "src/main.rs");
        assert_eq!(short("call.rs"), "call.rs");
    }
}
