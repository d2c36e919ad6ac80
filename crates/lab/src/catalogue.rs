//! The scenarios that are built in, so that `peerage lab run kademlia` works anywhere.

/// A scenario's name and text.
pub type Scenario = (&'static str, &'static str);

macro_rules! scenarios {
    ($($name:literal),* $(,)?) => {
        /// All of them, in the order in which they are listed.
        pub const SCENARIOS: &[Scenario] = &[
            $(($name, include_str!(concat!("../../../scenarios/", $name, ".toml")))),*
        ];
    };
}

scenarios![
    "kademlia",
    "kademlia-churn",
    "kademlia-liars",
    "kademlia-partition",
    "mainline",
    "central",
    "chord",
    "chord-churn",
    "pastry",
    "pastry-churn",
    "flooding",
    "flooding-churn",
    "random-walk",
    "random-walk-churn",
    "superpeer",
    "superpeer-churn",
    "gia",
    "gia-churn",
];

/// A scenario's text by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_built_in() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
        let files = std::fs::read_dir(folder).expect("the scenarios");
        let names = files.map(|file| file.expect("a file").file_name().into_string().expect("text"));
        for name in names.filter_map(|name| name.strip_suffix(".toml").map(str::to_owned)) {
            assert!(find(&name).is_some(), "{name} is not built in");
        }
    }

    #[test]
    fn every_scenario_can_be_read() {
        for (name, text) in SCENARIOS {
            let scenario = crate::scenario::Scenario::parse(name, text)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!scenario.about.is_empty(), "{name} says what it shows");
        }
    }
}
