//! The parameters of a request.

use super::problem::Problem;
use axum::http::Uri;
use std::collections::BTreeMap;

/// The parameters of a request: known ones, each once.
#[derive(Debug, Default)]
pub struct Query(BTreeMap<String, String>);

/// Text that is searched for, in any case.
pub struct Search(String);

impl Search {
    /// Whether it is in this text.
    pub fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(&self.0)
    }
}

/// A page of a list.
pub struct Page<'a, T> {
    /// Its items.
    pub items: &'a [T],
    /// Pass it as `after` for the next one.
    pub next: Option<String>,
}

impl Query {
    /// The parameters of this request.
    ///
    /// # Errors
    /// When there is one that is not among `known`, or one twice.
    pub fn read(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let mut all = BTreeMap::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !known.contains(&&*name) {
                return Err(Problem::unknown_parameter(&name, known));
            }
            if all.insert(name.to_string(), value.to_string()).is_some() {
                return Err(Problem::invalid_parameter(&name, "it is given twice"));
            }
        }
        Ok(Self(all))
    }

    /// Whether all nodes are asked for, rather than the agent's own.
    ///
    /// # Errors
    /// When the value is another one.
    pub fn is_about_all_nodes(&self) -> Result<bool, Problem> {
        Ok(self.choice("nodes", &[("own", false), ("all", true)])?.unwrap_or(false))
    }

    /// The same question for one agent, of which `limit` items are wanted from the beginning.
    pub fn of_one_node(&self, limit: usize) -> Self {
        let mut all = self.0.clone();
        all.retain(|name, _| !["nodes", "after"].contains(&name.as_str()));
        all.insert("limit".to_owned(), limit.to_string());
        Self(all)
    }

    /// As it is in a URL, without the question mark.
    pub fn encoded(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.0)
            .finish()
    }

    /// The value of a parameter; `None` when it is not given.
    ///
    /// # Errors
    /// When it is empty.
    pub fn text(&self, name: &str) -> Result<Option<&str>, Problem> {
        match self.0.get(name).map(String::as_str) {
            Some("") => Err(Problem::invalid_parameter(name, "it is empty; leave it out instead")),
            value => Ok(value),
        }
    }

    /// The text that is searched for.
    ///
    /// # Errors
    /// When it is empty.
    pub fn search(&self) -> Result<Option<Search>, Problem> {
        Ok(self.text("search")?.map(|text| Search(text.to_lowercase())))
    }

    /// The number of items that are wanted.
    ///
    /// # Errors
    /// When it is no number from 1 to `most`.
    pub fn limit(&self, default: usize, most: usize) -> Result<usize, Problem> {
        let Some(text) = self.text("limit")? else {
            return Ok(default);
        };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| Problem::invalid_parameter("limit", format!("{text:?} is no number from 1 to {most}")))
    }

    /// The item that a parameter names.
    ///
    /// # Errors
    /// When it names none: the message lists those that there are.
    pub fn choice<T: Copy>(&self, name: &str, all: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match all.iter().find(|(label, _)| *label == text) {
            Some((_, item)) => Ok(Some(*item)),
            None => {
                let labels: Vec<_> = all.iter().map(|(label, _)| *label).collect();
                let why = format!("{text:?} is none of {}", labels.join(", "));
                Err(Problem::invalid_parameter(name, why))
            }
        }
    }

    /// The page of a list that is wanted, by `limit` and `after`.
    ///
    /// # Errors
    /// When a parameter is not valid, or names an item that is not in the list.
    pub fn page<'a, T>(
        &self,
        list: &'a [T],
        default: usize,
        most: usize,
        id: impl Fn(&T) -> &str,
    ) -> Result<Page<'a, T>, Problem> {
        let limit = self.limit(default, most)?;
        let begin = match self.text("after")? {
            None => 0,
            Some(after) => match list.iter().position(|item| id(item) == after) {
                Some(at) => at + 1,
                None => {
                    let why = format!("{after:?} is not in the list (any more); begin again without it");
                    return Err(Problem::invalid_parameter("after", why));
                }
            },
        };
        let end = list.len().min(begin + limit);
        let items = &list[begin..end];
        let next = items
            .last()
            .filter(|_| end < list.len())
            .map(|item| id(item).to_owned());
        Ok(Page { items, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Query, Problem> {
        Query::read(
            &format!("/x?{query}").parse().expect("a URI"),
            &["limit", "after", "kind"],
        )
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = read("colour=red").expect_err("unknown");
        assert_eq!(error.error(), "unknown_parameter");
        assert_eq!(
            error.message(),
            "colour: there is no such parameter; there are limit, after, kind"
        );
        assert_eq!(
            read("limit=1&limit=2").expect_err("twice").message(),
            "limit: it is given twice"
        );
        for text in ["0", "11", "-1", "many", ""] {
            let query = read(&format!("limit={text}")).expect("a known name");
            assert_eq!(query.limit(5, 10).expect_err(text).error(), "invalid_parameter");
        }
        let query = read("kind=c").expect("a known name");
        let error = query.choice("kind", &[("a", 1), ("b", 2)]).expect_err("no choice");
        assert_eq!(error.message(), "kind: \"c\" is none of a, b");
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let list = ["a", "b", "c", "d", "e"];
        let page = |query: &str| {
            let query = read(query).expect("known names");
            let page = query.page(&list, 2, 10, |item| item);
            page.map(|page| (page.items.join(""), page.next))
        };
        assert_eq!(page(""), Ok(("ab".to_owned(), Some("b".to_owned()))));
        assert_eq!(page("after=b"), Ok(("cd".to_owned(), Some("d".to_owned()))));
        assert_eq!(page("after=d"), Ok(("e".to_owned(), None)));
        assert_eq!(page("after=e"), Ok((String::new(), None)));
        assert_eq!(page("limit=5"), Ok(("abcde".to_owned(), None)));
        assert!(page("after=z").is_err_and(|error| error.message().contains("begin again")));
    }
}
