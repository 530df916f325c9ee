//! Parses a source file for the modules that it declares, its imports, and the paths that it uses.
//!
//! The file is split into words and punctuation; comments and literals are skipped.

/// A path as it is written, such as `super::store::Store`.
pub(super) type Path = Vec<String>;

/// An import of a name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Import {
    /// The local name; `*` for all items of a module.
    pub name: String,
    /// The path of the imported item.
    pub path: Path,
    /// Whether it is re-exported. Then it may be unused in this file.
    pub shown: bool,
}

/// The modules, imports and paths of a file.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Declared modules that have their own files.
    pub modules: Vec<String>,
    pub imports: Vec<Import>,
    /// All other paths, including those of one word.
    pub paths: Vec<Path>,
}

impl Source {
    /// Parses a file that rustc compiles. Inline modules belong to the file: `super` in them may be the file itself.
    pub fn read(text: &str) -> Self {
        let words = words(text);
        let mut source = Self::default();
        let (mut depth, mut inline) = (0, Vec::new());
        let mut at = 0;
        while let Some(word) = words.get(at) {
            match (word.as_str(), words.get(at + 1).map(String::as_str), words.get(at + 2)) {
                ("{", ..) => depth += 1,
                ("}", ..) => {
                    depth -= 1;
                    inline.pop_if(|begin| *begin == depth);
                }
                ("mod", Some(name), Some(then)) if then == ";" => {
                    source.modules.push(name.to_owned());
                    at += 2;
                }
                ("mod", Some(_), Some(then)) if then == "{" => {
                    inline.push(depth);
                    depth += 1;
                    at += 2;
                }
                // `impl Trait + use<'a>` is precise capturing and not an import.
                ("use", Some(next), _) if next != "<" => {
                    let shown = at > 0 && matches!(words[at - 1].as_str(), "pub" | ")");
                    at += 1;
                    let mut found = Vec::new();
                    at += tree(&words[at..], &mut Path::new(), &mut found);
                    source.imports.extend(found.into_iter().filter_map(|(name, path)| {
                        let path = outside(path, inline.len())?;
                        Some(Import { name, path, shown })
                    }));
                    continue;
                }
                _ if is_name(word) => {
                    let begins = at == 0 || !matches!(words[at - 1].as_str(), "." | "::");
                    let mut path = vec![word.clone()];
                    while let [colons, name, ..] = &words[at + 1..]
                        && colons == "::"
                        && is_name(name)
                    {
                        path.push(name.clone());
                        at += 2;
                    }
                    if begins && let Some(path) = outside(path, inline.len()) {
                        source.paths.push(path);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        source
    }
}

/// Parses one tree of a `use`, and returns its number of words.
fn tree(words: &[String], prefix: &mut Path, found: &mut Vec<(String, Path)>) -> usize {
    let (mut at, length) = (0, prefix.len());
    while let Some(word) = words.get(at) {
        match word.as_str() {
            "{" => {
                at += 1;
                while words.get(at).is_some_and(|word| word != "}") {
                    at += tree(&words[at..], prefix, found);
                    at += usize::from(words.get(at).is_some_and(|word| word == ","));
                }
                prefix.truncate(length);
                return at + 1;
            }
            "," | "}" | ";" => break,
            "::" => {}
            "as" => {
                if let Some(name) = words.get(at + 1) {
                    found.push((name.clone(), prefix.clone()));
                }
                prefix.truncate(length);
                return at + 2;
            }
            // In a braced list, `self` is the module before it. At the beginning of a path, it is the current module.
            "self" if !prefix.is_empty() => {}
            word => prefix.push(word.to_owned()),
        }
        at += 1;
    }
    if let Some(name) = prefix.last().cloned() {
        if name == "*" {
            prefix.pop();
        }
        found.push((name, prefix.clone()));
    }
    prefix.truncate(length);
    at
}

/// A path as it would be written outside of `inline` nested modules; `None` if it stays inside of them.
fn outside(mut path: Path, inline: usize) -> Option<Path> {
    let up = path.iter().take(inline).take_while(|word| *word == "super").count();
    if up > 0 {
        path.drain(..up);
        path.insert(0, "self".to_owned());
    }
    (path.len() > 1 || up == 0).then_some(path)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|first: char| first == '_' || first.is_alphabetic())
}

/// Names, `::` and single other characters, without comments and literals.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest)
        } else if is_name(rest) {
            let end = rest.find(|next: char| next != '_' && !next.is_alphanumeric());
            let name = &rest[..end.unwrap_or(rest.len())];
            match (name, raw_string(&rest[name.len()..])) {
                ("r" | "br" | "cr", Some(length)) => name.len() + length,
                _ => {
                    words.push(name.to_owned());
                    name.len()
                }
            }
        } else if rest.starts_with("::") {
            words.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                words.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    words
}

fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (2, 1);
    while depth > 0 && at < text.len() {
        let step = match text.as_bytes()[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                2
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                2
            }
            _ => 1,
        };
        at += step;
    }
    at
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text.char_indices().skip(1).find(|(_, next)| {
        let ends = *next == '"' && !escaped;
        escaped = *next == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |(at, _)| at + 1)
}

/// The length of a raw string, from its number signs on; `None` if it is not one.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.len() - text.trim_start_matches('#').len();
    let begin = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", &text[..hashes]);
    let length = begin.find(&end).map_or(begin.len(), |at| at + end.len());
    Some(hashes + 1 + length)
}

/// The length of a character literal, or of the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut characters = text.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        // The character after the backslash is escaped, also if it is a quotation mark.
        (Some((_, '\\')), Some((at, escaped))) => {
            let after = at + escaped.len_utf8();
            text[after..].find('\'').map_or(text.len(), |end| after + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split("::").map(str::to_owned).collect()
    }

    fn imports(text: &str) -> Vec<(String, String, bool)> {
        let imports = Source::read(text).imports.into_iter();
        imports
            .map(|import| (import.name, import.path.join("::"), import.shown))
            .collect()
    }

    fn import(name: &str, path: &str, shown: bool) -> (String, String, bool) {
        (name.to_owned(), path.to_owned(), shown)
    }

    #[test]
    fn trees_of_imports_are_taken_apart() {
        let text = "use crate::{lock, process::{self, Child as Process}, wait};\npub(crate) use super::store::*;\n\
                    pub use run::run; use self::inner::Inner;";
        assert_eq!(
            imports(text),
            [
                import("lock", "crate::lock", false),
                import("process", "crate::process", false),
                import("Process", "crate::process::Child", false),
                import("wait", "crate::wait", false),
                import("*", "super::store", true),
                import("run", "run::run", true),
                import("Inner", "self::inner::Inner", false),
            ]
        );
    }

    #[test]
    fn comments_and_literals_say_nothing() {
        let text = r##"
            // use a::b;
            /* use a::b; /* use a::b; */ use a::b; */
            const TEXT: &str = "use a::b; \" use a::b;";
            const RAW: &str = r#"use a::b; " use a::b;"#;
            fn quoted<'a>(_: &'a str) -> [char; 3] { ['"', '\'', '\\'] }
            use c::d;
        "##;
        assert_eq!(imports(text), [import("d", "c::d", false)]);
    }

    #[test]
    fn a_module_with_a_body_belongs_to_its_file() {
        let text = "mod file; mod inline { use super::a::B; mod more { use super::super::c::D; use super::E; } }\n\
                    use super::f::G;";
        assert_eq!(Source::read(text).modules, ["file"]);
        assert_eq!(
            imports(text),
            [
                import("B", "self::a::B", false),
                import("D", "self::c::D", false),
                import("E", "self::E", false),
                import("G", "super::f::G", false),
            ]
        );
    }

    #[test]
    fn paths_in_code_are_found() {
        let paths = Source::read("fn main() { super::run(value.field, tasks::build::run::<u8>()); }").paths;
        for found in ["super::run", "value", "tasks::build::run"] {
            assert!(paths.contains(&path(found)), "{found}: {paths:?}");
        }
        assert!(!paths.contains(&path("field")), "{paths:?}");
    }
}
