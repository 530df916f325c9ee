//! Named ranges of addresses outside the cluster, such as a cloud's databases: the configuration's field `networks`.

use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

/// Ranges that are accepted, over all networks: the published list of a cloud's ranges has some thousands.
const MOST_RANGES: usize = 10_000;

/// Names that stand for something else in the labels of workloads.
const RESERVED: [&str; 4] = ["external", "unknown", "_other", "_former"];

/// The names of address ranges, indexed by prefix.
#[derive(Clone, Debug, Default)]
pub struct Networks {
    ranges: HashMap<IpNet, Arc<str>>,
    /// The prefix lengths that occur, by family (IPv4, IPv6), the longest first.
    lengths: [Vec<u8>; 2],
}

impl Networks {
    /// Reads the configuration's field `networks`: the ranges of each network, by its name.
    ///
    /// # Errors
    /// A sentence that names the network and the range: it cannot be parsed, has bits set beyond its prefix, or occurs twice.
    pub fn new(networks: &BTreeMap<String, Vec<String>>) -> Result<Self, String> {
        let mut this = Self::default();
        let mut lengths = [BTreeSet::new(), BTreeSet::new()];
        for (name, ranges) in networks {
            let at = |what: String| format!("networks.{name}: {what}");
            if name.is_empty() || name.contains('/') || name.chars().any(|c| c.is_control() || c.is_whitespace()) {
                return Err(format!(
                    "networks: {name:?} is not a name: it must not be empty, nor contain slashes or spaces"
                ));
            }
            if RESERVED.contains(&name.as_str()) {
                return Err(format!(
                    "networks: {name:?} is a value of labels already, for connections without a name"
                ));
            }
            if ranges.is_empty() {
                return Err(at("it has no range".to_owned()));
            }
            let network = Arc::<str>::from(name.as_str());
            for text in ranges {
                let range = parse(text).map_err(at)?;
                if let Some(first) = this.ranges.insert(range, network.clone()) {
                    return Err(at(format!("{range} is a range of networks.{first} already")));
                }
                lengths[family(range.addr())].insert(range.prefix_len());
            }
            if this.ranges.len() > MOST_RANGES {
                return Err(at(format!("with it there are more than {MOST_RANGES} ranges")));
            }
        }
        this.lengths = lengths.map(|lengths| lengths.into_iter().rev().collect());
        this.refuse_redundant()?;
        Ok(this)
    }

    /// Refuses a range within another one of the same network: the longer prefix would change nothing, so one of them is an error.
    /// Within another network's, the longer prefix is the more specific name.
    fn refuse_redundant(&self) -> Result<(), String> {
        let mut ranges: Vec<_> = self.ranges.iter().collect();
        ranges.sort_unstable_by_key(|(range, _)| **range);
        for (range, network) in ranges {
            if let Some((wider, other)) = self.find(range.addr(), range.prefix_len())
                && other == network
            {
                return Err(format!(
                    "networks.{network}: {range} is a part of {wider}, which it has already"
                ));
            }
        }
        Ok(())
    }

    /// The names of all networks; one with several ranges occurs several times.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.ranges.values()
    }

    /// The name of the network that an address is in: that with the longest prefix.
    pub fn at(&self, address: IpAddr) -> Option<&Arc<str>> {
        self.find(address, u8::MAX).map(|(_, network)| network)
    }

    /// The range with the longest prefix of less than `below` bits that has an address.
    fn find(&self, address: IpAddr, below: u8) -> Option<(IpNet, &Arc<str>)> {
        let lengths = self.lengths[family(address)].iter();
        lengths.filter(|length| **length < below).find_map(|length| {
            let range = IpNet::new(address, *length).ok()?.trunc();
            Some((range, self.ranges.get(&range)?))
        })
    }
}

fn family(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

fn parse(text: &str) -> Result<IpNet, String> {
    let range: IpNet = text
        .parse()
        .map_err(|_| format!("{text:?} is not an address range, such as 10.20.0.0/16 or fd00::/8"))?;
    if let IpAddr::V6(address) = range.addr()
        && address.to_ipv4_mapped().is_some()
    {
        return Err(format!("{text} is an IPv4-mapped range: write it in IPv4"));
    }
    if range != range.trunc() {
        return Err(format!(
            "{text} has bits set beyond its prefix: did you mean {}?",
            range.trunc()
        ));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(entries: &[(&str, &[&str])]) -> Result<Networks, String> {
        let owned = |ranges: &[&str]| ranges.iter().map(|range| (*range).to_owned()).collect();
        Networks::new(
            &entries
                .iter()
                .map(|(name, ranges)| ((*name).to_owned(), owned(ranges)))
                .collect(),
        )
    }

    #[test]
    fn the_longest_prefix_names_an_address() {
        let networks = networks(&[
            ("vpc", &["10.0.0.0/8", "fd00::/8"]),
            ("rds", &["10.20.0.0/16"]),
            ("primary", &["10.20.3.4/32", "fd00:20::1/128"]),
            ("all", &["0.0.0.0/0"]),
        ])
        .expect("valid");
        for (address, expected) in [
            ("10.20.3.4", Some("primary")),
            ("10.20.3.5", Some("rds")),
            ("10.21.0.1", Some("vpc")),
            ("192.0.2.1", Some("all")),
            ("fd00:20::1", Some("primary")),
            ("fd00:20::2", Some("vpc")),
            ("2001:db8::1", None),
        ] {
            let found = networks.at(address.parse().expect("an address"));
            assert_eq!(found.map(|name| &**name), expected, "{address}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (entries, expected) in [
            (
                &[("rds", &["10.20.0.0/33"] as &[&str])] as &[(&str, &[&str])],
                "networks.rds: \"10.20.0.0/33\" is not an address range, such as",
            ),
            (
                &[("rds", &["10.20.0.1"])],
                "networks.rds: \"10.20.0.1\" is not an address range",
            ),
            (
                &[("rds", &["10.20.3.0/16"])],
                "networks.rds: 10.20.3.0/16 has bits set beyond its prefix: did you mean 10.20.0.0/16?",
            ),
            (
                &[("rds", &["::ffff:10.20.0.0/112"])],
                "networks.rds: ::ffff:10.20.0.0/112 is an IPv4-mapped range",
            ),
            (&[("rds", &[])], "networks.rds: it has no range"),
            (&[("a/b", &["10.0.0.0/8"])], "networks: \"a/b\" is not a name"),
            (&[("", &["10.0.0.0/8"])], "networks: \"\" is not a name"),
            (
                &[("external", &["10.0.0.0/8"])],
                "networks: \"external\" is a value of labels already",
            ),
            (
                &[("cache", &["10.20.0.0/16"]), ("rds", &["10.20.0.0/16"])],
                "networks.rds: 10.20.0.0/16 is a range of networks.cache already",
            ),
            (
                &[("rds", &["10.20.0.0/16", "10.20.0.0/16"])],
                "networks.rds: 10.20.0.0/16 is a range of networks.rds already",
            ),
            (
                &[("rds", &["10.0.0.0/8", "10.20.0.0/16"])],
                "networks.rds: 10.20.0.0/16 is a part of 10.0.0.0/8, which it has already",
            ),
        ] {
            let error = networks(entries).expect_err(expected);
            assert!(error.starts_with(expected), "{error}\n  wanted {expected}");
        }
    }

    #[test]
    fn too_many_ranges_are_refused() {
        let ranges = (0..=MOST_RANGES as u32).map(|n| format!("{}/32", std::net::Ipv4Addr::from(n)));
        let error = Networks::new(&[("a".to_owned(), ranges.collect())].into()).expect_err("too many");
        assert!(error.contains("more than 10000 ranges"), "{error}");
    }
}
