//! A strict reader of Prometheus' classic text format, which stops at whatever a scraper would refuse.

use std::collections::{BTreeMap, HashMap, HashSet};

#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    help: bool,
    /// Series in the order of the text: name, labels, value.
    pub(crate) series: Vec<(String, BTreeMap<String, String>, f64)>,
}

pub(crate) fn families(text: &str) -> HashMap<String, Family> {
    assert!(text.ends_with('\n'), "the last line must end");
    let mut families: HashMap<String, Family> = HashMap::new();
    let mut current = String::new();
    let mut seen = HashSet::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, words) = help.split_once(' ').unwrap();
            assert!(!families.contains_key(name), "{name} begins twice");
            assert!(!words.is_empty(), "{name} says nothing of itself");
            families.insert(name.to_owned(), Family { help: true, ..Family::default() });
            name.clone_into(&mut current);
        } else if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_type.split_once(' ').unwrap();
            assert_eq!(name, current, "a type follows its help");
            kind.clone_into(&mut families.get_mut(name).unwrap().kind);
        } else {
            let (name, labels, value) = series(line);
            let family = families.get_mut(&current).unwrap_or_else(|| panic!("before any family: {line}"));
            assert!(family.help && !family.kind.is_empty(), "{line} has no help or no type");
            let suffixes: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                "counter" | "gauge" => &[""],
                kind => panic!("{current} is a {kind}"),
            };
            let suffix = name.strip_prefix(&current).unwrap_or_else(|| panic!("{name} in {current}"));
            assert!(suffixes.contains(&suffix), "{name} in {current}");
            assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
            family.series.push((name, labels, value));
        }
    }
    families
}

fn series(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (head, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = head.split_once('{').unwrap_or((head, "}"));
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{name}");
    let labels = labels.strip_suffix('}').unwrap();
    let pairs = labels.split(',').filter(|pair| !pair.is_empty()).map(|pair| {
        let (label, value) = pair.split_once('=').unwrap();
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap();
        (label.to_owned(), value.to_owned())
    });
    (name.to_owned(), pairs.collect(), value.parse().unwrap())
}
