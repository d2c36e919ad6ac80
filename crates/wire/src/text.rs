//! Text from strangers, made harmless to print.

#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unwrap_used)]

/// At most `chars_max` characters of `bytes`, which may not be UTF-8, for a log or a screen.
///
/// Control characters (so terminal escapes and line breaks too) and marks that reorder or hide text
/// become U+FFFD. HTML is not escaped: whoever writes HTML escapes every text.
#[must_use]
pub fn printable(bytes: &[u8], chars_max: usize) -> String {
    // No character has more than four bytes, so the rest cannot matter.
    let enough = bytes.get(..chars_max.saturating_mul(4)).unwrap_or(bytes);
    let harmless = |c: char| {
        if is_harmful(c) { char::REPLACEMENT_CHARACTER } else { c }
    };
    String::from_utf8_lossy(enough).chars().take(chars_max).map(harmless).collect()
}

fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_controls_and_bidi_marks_do_not_survive() {
        assert_eq!(printable(b"a\x1b[31mb\r\n\x9b", 100), "a\u{FFFD}[31mb\u{FFFD}\u{FFFD}\u{FFFD}");
        assert_eq!(printable("a\u{202E}b\u{85}".as_bytes(), 100), "a\u{FFFD}b\u{FFFD}");
        assert_eq!(printable("plain äöü 漢".as_bytes(), 100), "plain äöü 漢");
    }

    #[test]
    fn long_text_is_cut_by_characters() {
        assert_eq!(printable("äöüß".as_bytes(), 2), "äö");
        assert_eq!(printable(&vec![b'x'; 1_000_000], 10), "x".repeat(10));
        assert_eq!(printable(b"x", usize::MAX), "x");
    }
}
