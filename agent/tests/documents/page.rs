//! A Markdown file, as far as the tests look at it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the agent is a directory of the repository")
}

/// A page.
pub struct Page {
    /// Its path below the root of the repository.
    pub name: String,
    /// All of it.
    pub text: String,
    /// The same without what stands between fences; each of their lines is empty.
    pub prose: String,
    /// What stands between fences.
    pub blocks: Vec<Block>,
}

/// A code block.
pub struct Block {
    /// What stands after the opening fence.
    pub language: String,
    /// The number of its first line.
    pub line: usize,
    /// Its lines.
    pub text: String,
}

impl Page {
    /// Reads one.
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self::parse(name, text)
    }

    fn parse(name: &str, text: String) -> Self {
        let (mut prose, mut blocks) = (String::new(), Vec::new());
        let mut open: Option<Block> = None;
        for (n, line) in text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(language), None) => {
                    open = Some(Block {
                        language: language.trim().to_owned(),
                        line: n + 2,
                        text: String::new(),
                    });
                }
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => prose.push_str(line),
            }
            prose.push('\n');
        }
        assert!(open.is_none(), "{name}: a code block has no end");
        assert!(
            prose.matches('`').count() % 2 == 0,
            "{name}: a code span has no end, or holds a backtick"
        );
        Self {
            name: name.to_owned(),
            text,
            prose,
            blocks,
        }
    }

    /// Its code spans. One that goes over the end of a line is one word.
    pub fn spans(&self) -> impl Iterator<Item = String> {
        let parts = self.prose.split('`').skip(1).step_by(2);
        parts.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// The targets of its links.
    pub fn links(&self) -> impl Iterator<Item = &str> {
        let parts = self.prose.split("](").skip(1);
        parts.filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
    }

    /// The names by which its headings can be linked to, as GitHub makes them.
    pub fn anchors(&self) -> Vec<String> {
        let mut anchors: Vec<String> = Vec::new();
        for heading in self.prose.lines().filter_map(|line| line.strip_prefix('#')) {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text
                .chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            let name: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let again = anchors.iter().filter(|other| **other == name).count();
            anchors.push(if again == 0 { name } else { format!("{name}-{again}") });
        }
        anchors
    }

    /// The first table below a heading, without its head: what stands in its cells.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let lines = self.prose.lines().skip_while(|line| *line != heading).skip(1);
        let rows = lines
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'));
        let table: Vec<_> = rows
            .skip(2)
            .map(|row| {
                let cells = row.trim_matches('|').split(" | ");
                cells.map(|cell| cell.trim().to_owned()).collect()
            })
            .collect();
        assert!(!table.is_empty(), "{}: no table below {heading:?}", self.name);
        table
    }
}

/// The code spans of a cell.
pub fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// All pages in a directory and below it.
pub fn below(directory: &str) -> Vec<Page> {
    fn add(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(root().join(directory)).expect("a directory") {
            let entry = entry.expect("an entry");
            let path = directory.join(entry.file_name());
            // Not through links: the chart's lead to pages that are found where they are.
            if entry.file_type().expect("a type").is_dir() {
                add(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    add(Path::new(directory), &mut found);
    found.sort();
    found
        .iter()
        .map(|path| Page::read(path.to_str().expect("UTF-8")))
        .collect()
}

#[test]
fn a_page_is_taken_apart() {
    let text = "# A `b` c\n\n[x](y.md#z) and `d\n e`\n\n```yaml\nf: `\n```\n\n## T\n\n| a | b |\n| --- | --- |\n| `c` | d, `e` |\n\n## T\n";
    let page = Page::parse("x.md", text.to_owned());
    assert_eq!(page.spans().collect::<Vec<_>>(), ["b", "d e", "c", "e"]);
    assert_eq!(page.links().collect::<Vec<_>>(), ["y.md#z"]);
    assert_eq!(page.anchors(), ["a-b-c", "t", "t-1"]);
    let [block] = &page.blocks[..] else { panic!("one block") };
    assert_eq!((&*block.language, block.line, &*block.text), ("yaml", 7, "f: `\n"));
    assert_eq!(page.table("## T"), [["`c`", "d, `e`"]]);
    assert_eq!(spans("d, `e`"), ["e"]);
}
