//! The project's own rules about its source: who may use what, how a file starts, what no file says.

mod imports;
mod rules;
mod source;

use std::path::Path;
use std::{fs, io};

use rules::{Breach, File};

/// Built, fetched or found by a fuzzer: not source.
const NOT_SOURCE: [&str; 3] = ["target", "corpus", "artifacts"];

/// The hidden folders that hold source.
const HIDDEN_SOURCE: [&str; 3] = [".cargo", ".ci", ".config"];

/// Every text file of the project.
fn tree() -> io::Result<Vec<File>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    walk(root, "", &mut files)?;
    files.sort_by(|a: &File, b: &File| a.path.cmp(&b.path));
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "not the project's root: {root:?}");
    Ok(files)
}

fn walk(root: &Path, folder: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if folder.is_empty() { name.clone() } else { format!("{folder}/{name}") };
        let kind = entry.file_type()?;
        let hidden = name.starts_with('.') && !HIDDEN_SOURCE.contains(&name.as_str());
        if kind.is_dir() && !hidden && !NOT_SOURCE.contains(&name.as_str()) {
            walk(root, &path, files)?;
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(entry.path())
        {
            files.push(File { path, text });
        }
    }
    Ok(())
}

#[track_caller]
fn assert_none(breaches: &[Breach]) {
    let lines: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} of the rules broken:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_file_starts_with_what_it_is() {
    assert_none(&rules::breaches(&tree().unwrap(), rules::introduction));
}

#[test]
fn imports_go_one_way() {
    let files = tree().unwrap();
    assert_none(&rules::breaches(&files, |file| imports::imports(file, &files)));
}

#[test]
fn module_files_are_named_after_their_module() {
    assert_none(&rules::breaches(&tree().unwrap(), rules::module_files));
}

#[test]
fn no_file_names_a_directory_of_some_machine() {
    assert_none(&rules::breaches(&tree().unwrap(), rules::machine_paths));
}

/// Never fails: what it prints is a list to look at.
#[test]
fn report_of_long_files() {
    let files = tree().unwrap();
    for (lines, path) in rules::long_files(&files) {
        println!("{lines:5} lines: {path}");
    }
}
