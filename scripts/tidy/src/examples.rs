//! Whether every public item has an example.
//!
//! Looks at lines of text as rustfmt leaves them: an item begins on a line of its own, and ends on
//! one that is indented as far. `unreachable_pub` sees to it that whatever is `pub` is public.

use std::{
    fmt, fs, io, mem,
    path::{Path, PathBuf},
};

use crate::{Member, matches, rules::WITH_EXAMPLES};

/// A public item whose documentation has no code block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingExample {
    /// The source file, relative to the root of the workspace.
    pub file: String,
    /// The item's line, counted from one.
    pub line: usize,
}

impl fmt::Display for MissingExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: a public item without an example", self.file, self.line)
    }
}

/// The public items without an example in those of `members` that must have them, by file and line.
///
/// # Errors
/// A source file below `root`, the root of the workspace, cannot be read.
pub fn missing_examples(root: &Path, members: &[Member]) -> io::Result<Vec<MissingExample>> {
    let is_in =
        |patterns: &[&str], path: &str| patterns.iter().any(|pattern| matches(pattern, path));
    let mut missing = Vec::new();
    for member in members.iter().filter(|member| is_in(WITH_EXAMPLES, &member.path)) {
        for path in sources(&root.join(&member.path).join("src"))? {
            let file = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            let source = fs::read_to_string(&path).map_err(|error| at(&path, &error))?;
            let lines = lines_without_example(&source).into_iter();
            missing.extend(lines.map(|line| MissingExample { file: file.clone(), line }));
        }
    }
    Ok(missing)
}

/// The lines of `source`, counted from one, where public items without an example begin.
pub fn lines_without_example(source: &str) -> Vec<usize> {
    let mut scanner = Scanner::default();
    let numbered = source.lines().zip(1..);
    numbered.filter(|(line, _)| scanner.lacks_example(line)).map(|(_, number)| number).collect()
}

/// The Rust files in a folder and those below it, in order.
fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| at(folder, &error))? {
        let path = entry?.path();
        if path.is_dir() {
            files.append(&mut sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn at(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[derive(Default)]
struct Scanner {
    above: Above,
    /// Brackets that the attribute above has opened and not closed.
    open_brackets: usize,
    /// The indentation of an item of no interest, which has begun.
    skipped: Option<usize>,
    /// The indentation of the public trait that the line is in.
    public_trait: Option<usize>,
}

/// What the comments and attributes above an item say.
#[derive(Default)]
struct Above {
    has_example: bool,
    is_exempt: bool,
    is_exported: bool,
}

impl Scanner {
    /// Takes the next line, and says whether it begins a public item without an example.
    fn lacks_example(&mut self, line: &str) -> bool {
        let text = line.trim();
        let indent = line.len() - line.trim_start().len();
        if text.is_empty() || self.skips(indent, text) || self.takes_as_above(text) {
            return false;
        }
        let above = mem::take(&mut self.above);
        self.public_trait = self.public_trait.filter(|outer| indent > *outer);
        let is_macro = text.starts_with("macro_rules!");
        // What a macro makes is documented where it is used, if not by its own arguments.
        if (above.is_exempt || is_macro) && !ends_item(text) {
            self.skipped = Some(indent);
        }
        let is_public = is_macro && above.is_exported || self.is_public(indent, text);
        if text.starts_with("pub ") && keyword(text) == Some("trait") && !above.is_exempt {
            self.public_trait = Some(indent);
        }
        is_public && !above.has_example && !above.is_exempt
    }

    /// Whether the line belongs to an item of no interest.
    fn skips(&mut self, indent: usize, text: &str) -> bool {
        let Some(start) = self.skipped else { return false };
        if indent < start || indent == start && ends_item(text) {
            self.skipped = None;
        }
        indent >= start
    }

    /// Takes a line that is a comment or (a part of) an attribute.
    fn takes_as_above(&mut self, text: &str) -> bool {
        let is_attribute = self.open_brackets > 0 || text.starts_with("#[");
        if is_attribute {
            let opened = self.open_brackets + text.matches('[').count();
            self.open_brackets = opened.saturating_sub(text.matches(']').count());
            let is_any = |starts: &[&str]| starts.iter().any(|start| text.starts_with(start));
            self.above.is_exempt |= is_any(&["#[cfg(test)", "#[cfg(all(test,", "#[doc(hidden)"]);
            self.above.is_exported |= is_any(&["#[macro_export"]);
        }
        self.above.has_example |= (is_attribute || text.starts_with("///")) && text.contains("```");
        is_attribute || text.starts_with("//")
    }

    fn is_public(&self, indent: usize, text: &str) -> bool {
        const STEP: usize = 4;
        const KEYWORDS: [&str; 7] = ["fn", "struct", "enum", "trait", "union", "type", "macro"];
        let keyword = keyword(text);
        match self.public_trait {
            Some(outer) => indent == outer + STEP && keyword == Some("fn"),
            None => {
                text.starts_with("pub ") && keyword.is_some_and(|word| KEYWORDS.contains(&word))
            }
        }
    }
}

/// What kind of item a line begins, if it begins one.
fn keyword(text: &str) -> Option<&str> {
    const BEFORE: [&str; 6] = ["pub", "const", "async", "unsafe", "extern", "\"C\""];
    text.split_whitespace().find(|word| !BEFORE.contains(word))
}

/// Whether an item ends on a line that is indented like its beginning.
fn ends_item(text: &str) -> bool {
    text.starts_with('}') || text.ends_with([';', ',', '}'])
}
