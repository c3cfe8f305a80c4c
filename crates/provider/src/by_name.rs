//! Where SES stands by its name outside its own folder: what is left there is listed with its reason in decision 26, and grows no more.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines of code, without comments and tests, that name it.
const LEFT: &[(&str, usize)] =
    &[("assembly", 9), ("aws", 18), ("certificate", 1), ("cli", 139), ("ledger", 2), ("provider", 8), ("schema", 4)];

fn sources(of: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(of).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn names_it(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.split(|c: char| !c.is_alphanumeric()).any(|word| word.eq_ignore_ascii_case("ses") || word.eq_ignore_ascii_case("sesv2"))
}

#[test]
fn a_stranger_finds_all_that_is_sess_in_one_folder_and_the_rest_is_listed() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut counted: Vec<(String, usize)> = Vec::new();
    for entry in fs::read_dir(crates).unwrap() {
        let of = entry.unwrap().path();
        let name = of.file_name().unwrap().to_string_lossy().into_owned();
        // The simulator is AWS's side.
        if name == "sim" || !of.join("src").is_dir() {
            continue;
        }
        let mut found = Vec::new();
        sources(&of.join("src"), &mut found);
        let is_shipped =
            |path: &PathBuf| !path.ends_with("tests.rs") && !path.ends_with("by_name.rs") && !path.starts_with(of.join("src/ses"));
        let lines = |path: PathBuf| {
            let text = fs::read_to_string(path).unwrap();
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            shipped.lines().filter(|line| names_it(line)).count()
        };
        counted.push((name, found.into_iter().filter(is_shipped).map(lines).sum()));
    }
    let allowed = |name: &str| LEFT.iter().find(|(left, _)| *left == name).map_or(0, |(_, lines)| *lines);
    let grown: Vec<_> = counted.iter().filter(|(name, lines)| *lines > allowed(name)).collect();
    assert!(
        grown.is_empty(),
        "more lines name SES than are listed: {grown:?}; say it by what the provider states (`Facts`, `Provider`), or in its folder"
    );
}
