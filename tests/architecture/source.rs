//! Reads Rust source by its words, well enough to say which paths a file names and on which line.

/// A path that code names, from its first word on: `["crate", "stores", "sqlite"]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    /// Whether it stands in a module called `tests`.
    pub(crate) in_tests: bool,
}

/// Every path that code (not a comment, not a string) names with `::` or `use`. `self` and `super`
/// are resolved against `module`, the file's own place below its crate's root.
pub(crate) fn named_paths(source: &str, module: &[&str]) -> Vec<Named> {
    let tokens = tokens(source);
    let is = |at: usize, text: &str| tokens.get(at).is_some_and(|token| token.text == text);
    let mut named = Vec::new();
    let mut inline: Vec<(&str, usize)> = Vec::new();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < tokens.len() {
        let Token { text, line } = tokens[at];
        match text {
            "{" => depth += 1,
            "}" => {
                depth = depth.saturating_sub(1);
                inline.pop_if(|(_, opened)| *opened == depth);
            }
            "mod" if is(at + 2, "{") => inline.push((tokens[at + 1].text, depth)),
            _ => {}
        }
        let heads = is_word(text) && (is(at + 1, "::") || at > 0 && is(at - 1, "use"));
        let continues = at > 1 && is(at - 1, "::") && (is_word(tokens[at - 2].text) || is(at - 2, ">"));
        if !heads || continues {
            at += 1;
            continue;
        }
        let own = [&"crate"].into_iter().chain(module).copied().chain(inline.iter().map(|(name, _)| *name));
        let prefix = match text {
            "self" | "super" => own.map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let in_tests = module.contains(&"tests") || inline.iter().any(|(name, _)| *name == "tests");
        let mut paths = Vec::new();
        at = tree(&tokens, at, prefix, line, &mut paths);
        named.extend(paths.into_iter().map(|(path, line)| Named { path, line, in_tests }));
    }
    named
}

/// One path, or a tree of them in braces, from `at` on; returns where it ended.
fn tree(
    tokens: &[Token<'_>],
    mut at: usize,
    mut path: Vec<String>,
    mut line: usize,
    out: &mut Vec<(Vec<String>, usize)>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "{" => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.text != "}") {
                    at = tree(tokens, at, path.clone(), token.line, out);
                    while tokens.get(at).is_some_and(|token| token.text != "," && token.text != "}") {
                        at += 1;
                    }
                    at += usize::from(tokens.get(at).is_some_and(|token| token.text == ","));
                }
                return at + 1;
            }
            "self" => {}
            "super" => drop(path.pop()),
            word if is_word(word) || word == "*" => path.push(word.to_owned()),
            _ => break,
        }
        line = token.line;
        at += 1;
        if tokens.get(at).is_none_or(|token| token.text != "::") {
            break;
        }
        at += 1;
    }
    out.push((path, line));
    at
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Token<'a> {
    text: &'a str,
    line: usize,
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}

/// Words, `::` and single marks, without comments, strings, characters and lifetimes.
fn tokens(source: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (length, is_token) = match first {
            _ if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), false),
            _ if rest.starts_with("/*") => (block_comment(rest), false),
            _ if rest.starts_with("::") => (2, true),
            '"' => (string(rest), false),
            '\'' => (character(rest), false),
            'r' | 'b' | 'c' if raw_string(rest).is_some() => (raw_string(rest).unwrap_or(1), false),
            // A raw identifier is the word behind the mark.
            'r' if rest.starts_with("r#") => (2, false),
            _ if word > 0 => (word, is_word(rest)),
            _ => (first.len_utf8(), !first.is_whitespace()),
        };
        let (text, after) = rest.split_at(length);
        if is_token {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `r"..."`, `br#"..."#` and so on: its length, if that is what stands here.
fn raw_string(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
    })?;
    let hashes = rest[prefix.len()..].find('"')?;
    let body = prefix.len() + hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    Some(rest[body..].find(&close).map_or(rest.len(), |at| body + at + close.len()))
}

/// A character, or only the mark and name of a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => {
            let after = at + c.len_utf8();
            rest[after..].find('\'').map_or(rest.len(), |close| after + close + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1 + rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len() - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(source: &str, module: &[&str]) -> Vec<String> {
        named_paths(source, module).into_iter().map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn use_trees_are_taken_apart() {
        let source = "use crate::{domain::{self, Beacon as B}, stores::*};\nuse rusqlite;";
        assert_eq!(
            paths(source, &["ops"]),
            ["crate::domain", "crate::domain::Beacon", "crate::stores::*", "rusqlite"]
        );
    }

    #[test]
    fn paths_in_code_are_found_where_they_stand() {
        let source = "fn f() {\n    let x: Vec<crate::stores::Row> = ::rusqlite::open::<u8>();\n}";
        let named = named_paths(source, &["listen"]);
        let found: Vec<_> = named.iter().map(|named| (named.path.join("::"), named.line)).collect();
        assert_eq!(found, [("crate::stores::Row".to_owned(), 2), ("rusqlite::open".to_owned(), 2)]);
    }

    #[test]
    fn super_and_self_lead_from_the_module_they_stand_in() {
        let source =
            "use super::postgres::Row;\nmod tests { use super::*; use super::super::redis; }\nself::x::y();";
        assert_eq!(
            paths(source, &["stores", "sqlite"]),
            [
                "crate::stores::postgres::Row",
                "crate::stores::sqlite::*",
                "crate::stores::redis",
                "crate::stores::sqlite::x::y"
            ]
        );
    }

    #[test]
    fn comments_strings_and_lifetimes_name_nothing() {
        let source = r###"
            //! See [`crate::stores`].
            /* crate::a::b /* crate::c::d */ crate::e::f */
            const A: &'static str = "crate::g::h \" crate::i";
            const B: &str = r#"crate::j::" k"#;
            const C: char = '"'; const D: u8 = b'\''; const E: char = 'é';
            fn f<'a>(x: &'a u8) { real::thing(x) }
        "###;
        assert_eq!(paths(source, &[]), ["real::thing"]);
    }

    #[test]
    fn test_modules_are_told_apart() {
        let source = "use a::b; #[cfg(test)] mod tests { use c::d; } use e::f;";
        let marks: Vec<_> = named_paths(source, &[]).iter().map(|named| named.in_tests).collect();
        assert_eq!(marks, [false, true, false]);
        assert!(named_paths("use a::b;", &["stores", "tests"])[0].in_tests);
    }
}
