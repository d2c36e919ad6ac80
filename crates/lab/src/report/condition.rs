//! Conditions such as `>= 0.99`.

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Condition {
    compare: Compare,
    number: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    AtLeast,
    AtMost,
    More,
    Less,
    Equal,
}

impl Condition {
    /// Reads `>= 0.99`, `<= 5`, `> 0`, `< 1` or `== 3`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        // The longer signs first: `>=` begins with `>`.
        let signs = [
            (">=", Compare::AtLeast),
            ("<=", Compare::AtMost),
            ("==", Compare::Equal),
            (">", Compare::More),
            ("<", Compare::Less),
        ];
        let (rest, compare) =
            signs.iter().find_map(|(sign, compare)| Some((text.strip_prefix(sign)?, *compare)))?;
        let number = rest.trim().parse::<f64>().ok().filter(|number| number.is_finite())?;
        Some(Self { compare, number })
    }

    /// Whether a value fulfils it.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        match self.compare {
            Compare::AtLeast => value >= self.number,
            Compare::AtMost => value <= self.number,
            Compare::More => value > self.number,
            Compare::Less => value < self.number,
            Compare::Equal => value == self.number,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_compare() {
        let holds = |text: &str, value: f64| Condition::parse(text).unwrap().holds(value);
        assert!(holds(">= 0.99", 0.99) && !holds(">= 0.99", 0.989));
        assert!(holds("<=5", 5.0) && !holds("<= 5", 5.1));
        assert!(holds("> 0", 0.1) && !holds("> 0", 0.0) && holds("< 1", 0.0) && holds("== 3", 3.0));
        for text in ["", "0.9", "=> 1", ">= x", ">= inf", ">="] {
            assert_eq!(Condition::parse(text), None, "{text}");
        }
    }
}
