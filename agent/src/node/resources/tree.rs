//! Nested groups, by their paths below the root, each with a leading slash.

use std::collections::{BTreeMap, BTreeSet};

/// A group and those above it, without the root: `/a/b`, `/a`.
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let path = path.trim_end_matches('/');
    std::iter::successors(Some(path), |path| path.rsplit_once('/').map(|(above, _)| above))
        .filter(|path| !path.is_empty())
}

/// The groups that are not below another one.
pub fn topmost<'a>(paths: &BTreeSet<&'a str>) -> Vec<&'a str> {
    let below = |path: &str| ancestors(path).skip(1).any(|above| paths.contains(above));
    paths.iter().copied().filter(|path| !below(path)).collect()
}

/// A group of a point, or above it, with its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Level {
    /// The limit of the group together with all groups below it.
    pub limit: Option<f64>,
    /// Whether processes are directly in it, rather than in a group below.
    pub holds: bool,
}

/// What all these groups together may use: each at most its own limit, and the sum of what the groups below it may use. `None`
/// when a part of them has no limit.
pub fn allowed(levels: &BTreeMap<&str, Level>) -> Option<f64> {
    let tops = levels
        .keys()
        .filter(|path| ancestors(path).skip(1).all(|above| !levels.contains_key(above)));
    let sum: f64 = tops.map(|path| allowed_in(path, levels)).sum();
    (sum.is_finite() && !levels.is_empty()).then_some(sum)
}

fn allowed_in(path: &str, levels: &BTreeMap<&str, Level>) -> f64 {
    let level = levels.get(path).copied().unwrap_or_default();
    let is_child = |child: &str| ancestors(child).nth(1) == Some(path);
    let mut children = levels.keys().filter(|child| is_child(child)).peekable();
    let below = if level.holds || children.peek().is_none() {
        f64::INFINITY
    } else {
        children.map(|child| allowed_in(child, levels)).sum()
    };
    level.limit.unwrap_or(f64::INFINITY).min(below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_no_group() {
        assert_eq!(ancestors("/a/b/c").collect::<Vec<_>>(), ["/a/b/c", "/a/b", "/a"]);
        assert_eq!(ancestors("/").count(), 0);
        assert_eq!(ancestors("").count(), 0);
    }

    #[test]
    fn what_is_below_another_is_left_out() {
        let paths = BTreeSet::from(["/a/b", "/a/b/c", "/a/b/c/d", "/ab", "/a/bb"]);
        assert_eq!(topmost(&paths), ["/a/b", "/a/bb", "/ab"]);
    }

    fn of(levels: &[(&'static str, Option<f64>, bool)]) -> Option<f64> {
        let levels = levels
            .iter()
            .map(|(path, limit, holds)| {
                (
                    *path,
                    Level {
                        limit: *limit,
                        holds: *holds,
                    },
                )
            })
            .collect();
        allowed(&levels)
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_counts() {
        assert_eq!(
            of(&[
                ("/a", Some(4.0), false),
                ("/a/b", Some(1.0), false),
                ("/a/b/c", None, true)
            ]),
            Some(1.0)
        );
        assert_eq!(of(&[("/a", Some(0.5), false), ("/a/b", Some(1.0), true)]), Some(0.5));
        assert_eq!(of(&[("/a", None, false), ("/a/b", None, true)]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn limits_of_several_groups_add_up_to_the_limit_above_them() {
        let two = [
            ("/pod", None, false),
            ("/pod/x", Some(1.0), true),
            ("/pod/y", Some(2.0), true),
        ];
        assert_eq!(of(&two), Some(3.0));
        let mut bounded = two;
        bounded[0].1 = Some(2.5);
        assert_eq!(of(&bounded), Some(2.5));
        // In addition to a limited group, there is one without a limit.
        let mut open = two;
        open[2].1 = None;
        assert_eq!(of(&open), None);
        // Processes outside of the limited groups.
        let mut beside = two;
        beside[0].2 = true;
        assert_eq!(of(&beside), None);
    }
}
