//! The rules about single files, and how a breach of any rule is shown.

use std::fmt;

/// Crates whose files these rules cover, by folder.
pub(crate) const SOURCES: [&str; 6] =
    ["src/", "protocol/src/", "loadtest/src/", "stack/src/", "torture/src/", "xtask/src/"];

/// Directories of some machine, which mean nothing on another. In two halves each, or this file
/// would break the rule.
const MACHINES: [(&str, &str); 3] = [("/wo", "rk/"), ("/ro", "ot/"), ("/tmp/", "brief")];

/// Past this many lines a file is worth a look.
const LONG_LINES: usize = 400;

/// A file of the tree: its path from the root, with `/`, and its text.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A rule broken at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Breach {
    path: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// All breaches of one rule in all files.
pub(crate) fn breaches(files: &[File], rule: impl Fn(&File) -> Vec<(usize, String)>) -> Vec<Breach> {
    let at = |file: &File, (line, rule)| Breach { path: file.path.clone(), line, rule };
    files.iter().flat_map(|file| rule(file).into_iter().map(|found| at(file, found))).collect()
}

/// A file says first what it is.
pub(crate) fn introduction(file: &File) -> Vec<(usize, String)> {
    let introduced = !file.path.ends_with(".rs") || file.text.starts_with("//! ");
    if introduced {
        Vec::new()
    } else {
        vec![(1, "the file does not start with `//!` and a sentence".into())]
    }
}

/// A module's front page is `foo.rs`, beside the folder `foo/`.
pub(crate) fn module_files(file: &File) -> Vec<(usize, String)> {
    let of_source = SOURCES.iter().any(|folder| file.path.starts_with(folder));
    if of_source && file.path.ends_with("/mod.rs") {
        vec![(1, "a module's front page is `foo.rs`, not `foo/mod.rs`".into())]
    } else {
        Vec::new()
    }
}

/// No file names a directory of somebody's machine.
pub(crate) fn machine_paths(file: &File) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        for (head, tail) in MACHINES {
            let path = format!("{head}{tail}");
            let inside_another =
                |at: usize| line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}~".contains(c));
            if line.match_indices(&path).any(|(at, _)| !inside_another(at)) {
                found.push((number, format!("names {path}, a directory of some machine")));
            }
        }
    }
    found
}

/// Files past [`LONG_LINES`], longest first: to look at, not to fail on.
pub(crate) fn long_files(files: &[File]) -> Vec<(usize, &str)> {
    let length = |file: &File| file.text.lines().count();
    let mut long: Vec<_> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs") && length(file) > LONG_LINES)
        .map(|file| (length(file), file.path.as_str()))
        .collect();
    long.sort_unstable_by(|a, b| b.cmp(a));
    long
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imports::imports;

    #[test]
    fn file_rules_catch_what_they_name() {
        let file = |path: &str, text: &str| File { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(introduction(&file("src/a.rs", "use b;\n//! Late.")).len(), 1);
        assert_eq!(introduction(&file("src/a.rs", "//! A file.\n")), []);
        assert_eq!(introduction(&file("README.md", "# beacond")), []);
        assert_eq!(module_files(&file("src/stores/mod.rs", "//! x")).len(), 1);
        assert_eq!(module_files(&file("tests/support/mod.rs", "//! x")), []);
        let machine: String = ["see /wo", "rk/main, /wo", "rk/x\nand docs/wo", "rk/x"].concat();
        assert_eq!(
            machine_paths(&file("docs/a.md", &machine)).iter().map(|found| found.0).collect::<Vec<_>>(),
            [1]
        );
        let long =
            [file("src/a.rs", &"x\n".repeat(LONG_LINES + 1)), file("src/b.rs", &"x\n".repeat(LONG_LINES))];
        assert_eq!(long_files(&long), [(LONG_LINES + 1, "src/a.rs")]);
    }

    #[test]
    fn breach_is_shown_with_file_line_and_rule() {
        let files = [File { path: "src/domain.rs".into(), text: "//! x\nuse crate::ports;".into() }];
        let found = breaches(&files, |file| imports(file, &files));
        assert_eq!(found[0].to_string(), "src/domain.rs:2: `domain` may not use `ports`: `crate::ports`");
    }
}
