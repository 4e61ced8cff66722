//! CSV files of the user's: read whole before anything is done with them, errors named by line and column.

use std::fs::File;
use std::path::Path;

use csv::{Reader, ReaderBuilder, StringRecord};

use super::{Failure, exit};

/// One line of a file, its fields found by the names in the header.
pub(super) struct Line<'f> {
    file: &'f str,
    columns: &'f [usize],
    names: &'f [&'static str],
    record: &'f StringRecord,
}

impl Line<'_> {
    /// The field of the column at `index` in the names asked for.
    pub(super) fn field(&self, index: usize) -> &str {
        self.columns.get(index).and_then(|&column| self.record.get(column)).unwrap_or_default()
    }

    /// Parses a field.
    ///
    /// # Errors
    /// Names file, line, column, value and what is allowed.
    pub(super) fn parse<T>(&self, index: usize, allowed: &str) -> Result<T, Failure>
    where
        T: std::str::FromStr,
    {
        self.field(index).parse().map_err(|_| self.wrong(index, allowed))
    }

    /// Parses a field that may be empty.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(super) fn parse_optional<T>(&self, index: usize, allowed: &str) -> Result<Option<T>, Failure>
    where
        T: std::str::FromStr,
    {
        if self.field(index).is_empty() { Ok(None) } else { self.parse(index, allowed).map(Some) }
    }

    pub(super) fn wrong(&self, index: usize, allowed: &str) -> Failure {
        let line = self.record.position().map_or(0, csv::Position::line);
        let message = format!(
            "{}: line {line}, column {}: {:?} is not {allowed}",
            self.file,
            self.names.get(index).copied().unwrap_or_default(),
            self.field(index)
        );
        Failure::new(exit::DATA, message)
    }
}

/// Reads a file with these columns, in any order, others ignored; `parse` makes a row of each line.
///
/// # Errors
/// The first thing wrong, with line and column; nothing of the file is used then.
pub(super) fn read<T>(
    path: &Path,
    names: &[&'static str],
    mut parse: impl FnMut(&Line<'_>) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let file = path.display().to_string();
    let unreadable = |error: &dyn std::fmt::Display| Failure::new(exit::DATA, format!("{file}: {error}"));
    let mut reader: Reader<File> =
        ReaderBuilder::new().from_path(path).map_err(|error| unreadable(&error))?;
    let header = reader.headers().map_err(|error| unreadable(&error))?.clone();
    let columns = names
        .iter()
        .map(|name| {
            header.iter().position(|column| column == *name).ok_or_else(|| {
                let message =
                    format!("{file}: line 1: there is no column {name}; wanted are {}", names.join(","));
                Failure::new(exit::DATA, message)
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| match (error.kind(), error.position()) {
            (csv::ErrorKind::UnequalLengths { expected_len, len, .. }, Some(position)) => {
                let line = position.line();
                Failure::new(
                    exit::DATA,
                    format!("{file}: line {line}: {len} columns, not the {expected_len} of line 1"),
                )
            }
            _ => unreadable(&error),
        })?;
        rows.push(parse(&Line { file: &file, columns: &columns, names, record: &record })?);
    }
    Ok(rows)
}
