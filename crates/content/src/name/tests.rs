#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "test values are known")]

use super::*;
use proptest::prelude::*;

/// What a stranger may call a file, and what becomes of it (threats.md P6).
const VECTORS: &[(&[u8], &str)] = &[
    (b"plain.txt", "plain.txt"),
    (b".hidden", ".hidden"),
    (b"", "_"),
    (b".", "_"),
    (b"..", "_"),
    (b"...", "_"),
    (b".. ", "_"),
    (b"..\\", "_"),
    (b"../", "_"),
    (b"../../etc/passwd", "....etcpasswd"),
    (b"..\\..\\autoexec.bat", "....autoexec.bat"),
    (b"/", "_"),
    (b"\\", "_"),
    (b"//", "_"),
    (b"/etc/passwd", "etcpasswd"),
    (b"\\\\server\\share", "servershare"),
    (b"\\\\?\\C:\\x", if cfg!(windows) { "_C_x" } else { "?C:x" }),
    (b"C:", "C_"),
    (b"C:\\Windows", "C_Windows"),
    (b"c:relative", "c_relative"),
    (b"a\0b", "ab"),
    (b"\0\0\0\0", "_"),
    (b".\0.", "_"),
    (b"line\nbreak\r\x1b[31m\x7f", "line_break__[31m_"),
    ("c1\u{85}\u{9b}".as_bytes(), "c1__"),
    (b"CON", "_CON"),
    (b"con", "_con"),
    (b"Con.txt", "_Con.txt"),
    (b"nul.tar.gz", "_nul.tar.gz"),
    (b"nul .txt", "_nul .txt"),
    (b"COM1", "_COM1"),
    (b"COM0.x", "_COM0.x"),
    ("LPT\u{b9}".as_bytes(), "_LPT\u{b9}"),
    (b"COM10", "COM10"),
    (b"console", "console"),
    (b"aux.", "_aux"),
    (b"trailing.", "trailing"),
    (b"trailing ", "trailing"),
    (b"trailing. . .", "trailing"),
    (b" leading", " leading"),
    ("gpj\u{202e}exe.txt".as_bytes(), "gpjexe.txt"),
    (".\u{202e}.".as_bytes(), "_"),
    ("\u{202e}".as_bytes(), "_"),
    ("\u{2066}.\u{2069}\u{200b}.\u{feff}".as_bytes(), "_"),
    (".\u{200d}./\u{61c}".as_bytes(), "_"),
    (b"%2e%2e%2f", "%2e%2e%2f"),
    (b"%2e%2e", "%2e%2e"),
    // Overlong forms of a slash, a dot and NUL; a surrogate; a cut sequence; a byte of no sequence.
    (b"a\xc0\xafb", "a__b"),
    (b"\xc0\xae\xc0\xae", "____"),
    (b"\xe0\x80\xaf", "___"),
    (b"\xf0\x80\x80\xaf", "____"),
    (b"\xc0\x80", "__"),
    (b"\xed\xa0\x80", "___"),
    (b"x\xe2\x82", "x_"),
    (b"\xff", "_"),
    // What only looks like a dot or a slash is no more than that.
    ("\u{2024}\u{2024}".as_bytes(), "\u{2024}\u{2024}"),
    ("a\u{2215}b\u{ff0f}c".as_bytes(), "a\u{2215}b\u{ff0f}c"),
    // Normal form is kept.
    ("e\u{301}".as_bytes(), "e\u{301}"),
    ("\u{e9}".as_bytes(), "\u{e9}"),
    (b"$(rm -rf ~)`;&", "$(rm -rf ~)`;&"),
    (b"-rf", "-rf"),
    (b"~", "~"),
];

#[test]
fn hostile_names_become_harmless() {
    for (name, expected) in VECTORS {
        assert_eq!(sanitise(name), *expected, "{}", name.escape_ascii());
    }
}

#[test]
fn long_names_are_cut_between_characters_and_keep_their_extension() {
    let long =
        |stem: &str, count: usize, end: &str| sanitise(format!("{}{end}", stem.repeat(count)).as_bytes());
    assert_eq!(long("a", 240, ""), "a".repeat(240));
    assert_eq!(long("a", 255, ""), "a".repeat(240));
    assert_eq!(long("a", 4096, ".flac"), format!("{}.flac", "a".repeat(240)));
    assert_eq!(long("a", 238, ".flac"), format!("{}.flac", "a".repeat(238)));
    assert_eq!(long("a", 4096, ".notanextension"), "a".repeat(240));
    assert_eq!(long("\u{20ac}x", 100, ".txt"), format!("{}.txt", "\u{20ac}x".repeat(60)));
    // 7 bytes a turn: 34 turns are 238, and the next character does not fit into 240.
    assert_eq!(long("a\u{20ac}\u{20ac}", 100, ""), format!("{}a", "a\u{20ac}\u{20ac}".repeat(34)));
    assert_eq!(long(".", 5000, ""), "_");
    // The cut must not uncover an end that Windows would drop.
    let spaces = format!("{}{}b", "a".repeat(200), " ".repeat(60));
    assert_eq!(sanitise(spaces.as_bytes()), "a".repeat(200));
    // A device behind a cut.
    let device = format!("nul.{}", "x".repeat(300));
    assert_eq!(sanitise(device.as_bytes()), format!("_nul.{}", "x".repeat(235)));
    // A counter takes its room from the stem.
    let name = format!("{}.12345678", "a".repeat(240));
    let mut paths = vec![FilePath::new([name.as_bytes()]); 12];
    resolve_collisions(&mut paths).unwrap();
    assert_eq!(paths.last().unwrap().as_str(), format!("{}.11.12345678", "a".repeat(238)));
}

#[test]
fn paths_are_relative_and_never_empty() {
    let path = |names: &[&str]| FilePath::new(names.iter().map(|name| name.as_bytes()));
    assert_eq!(path(&["a", "..", "b"]).as_str(), "a/_/b");
    assert_eq!(path(&["/", "etc"]).as_str(), "_/etc");
    assert_eq!(path(&["", ""]).as_str(), "_/_");
    assert_eq!(path(&[]).as_str(), "_");
    assert_eq!(path(&["a", "b.c"]).file_name(), "b.c");
}

fn resolved(paths: &[&str]) -> Vec<String> {
    let mut paths: Vec<FilePath> =
        paths.iter().map(|path| FilePath::new(path.split('/').map(str::as_bytes))).collect();
    resolve_collisions(&mut paths).unwrap();
    paths.iter().map(ToString::to_string).collect()
}

#[test]
fn equal_paths_get_counters() {
    assert_eq!(resolved(&["a/x.txt", "a/x.txt", "a/x.txt"]), ["a/x.txt", "a/x.1.txt", "a/x.2.txt"]);
    assert_eq!(resolved(&["x", "x.1", "x"]), ["x", "x.1", "x.2"]);
    assert_eq!(resolved(&[".x", ".x"]), [".x", ".x.1"]);
    // Letter case and normal form.
    assert_eq!(resolved(&["README", "readme", "Readme.md"]), ["README", "readme.1", "Readme.md"]);
    assert_eq!(resolved(&["A/x", "a/X", "a/y"]), ["A/x", "a/X.1", "a/y"]);
    assert_eq!(resolved(&["\u{e9}", "e\u{301}", "E\u{301}"]), ["\u{e9}", "e\u{301}.1", "E\u{301}.2"]);
    assert_eq!(
        resolved(&["stra\u{df}e", "STRASSE", "STRA\u{1e9e}E"]),
        ["stra\u{df}e", "STRASSE.1", "STRA\u{1e9e}E.2"]
    );
    // A file where a folder must be, before and after it.
    assert_eq!(resolved(&["a", "a/b"]), ["a.1", "a/b"]);
    assert_eq!(resolved(&["x/y/z", "X/Y"]), ["x/y/z", "X/Y.1"]);
    // A new name must not meet one that comes later; the later one moves on.
    assert_eq!(resolved(&["b", "b", "b.1"]), ["b", "b.1", "b.1.1"]);
}

#[test]
fn a_flood_of_equal_paths_is_refused() {
    let mut paths = vec![FilePath::new([&b"x"[..]]); 1000];
    assert_eq!(resolve_collisions(&mut paths), Err(TooManyCollisions));
    let mut paths = vec![FilePath::new([&b"x"[..]]); 30];
    assert_eq!(resolve_collisions(&mut paths), Ok(()));
}

#[test]
fn printable_text_has_no_escapes() {
    assert_eq!(printable(b"a\x1b[2Jb\nc/d\xff"), "a [2Jb c/d\u{fffd}");
    assert_eq!(printable("a\u{202e}b".as_bytes()), "ab");
}

fn assert_safe(name: &str) {
    assert!(!name.is_empty() && name.len() <= NAME_BYTES_MAX, "{name:?}");
    assert!(!name.contains(['/', '\\', '\0', '\u{202e}']), "{name:?}");
    assert!(!name.chars().any(char::is_control), "{name:?}");
    assert!(!name.ends_with(['.', ' ']), "{name:?}");
    // It is one component that goes down.
    let mut components = std::path::Path::new(name).components();
    assert!(matches!(components.next(), Some(std::path::Component::Normal(_))), "{name:?}");
    assert!(components.next().is_none(), "{name:?}");
}

#[test]
fn all_vectors_are_safe() {
    for (name, _) in VECTORS {
        assert_safe(&sanitise(name));
    }
}

proptest! {
    #[test]
    fn any_bytes_become_one_safe_component(name in proptest::collection::vec(any::<u8>(), 0..300)) {
        let safe = sanitise(&name);
        assert_safe(&safe);
        prop_assert_eq!(sanitise(safe.as_bytes()), safe);
    }

    #[test]
    fn any_text_becomes_one_safe_component(name in "[./\\\\ :CcoOnN\u{202e}\u{200b}1-3\\x00a\u{e9}]{0,12}") {
        let safe = sanitise(name.as_bytes());
        assert_safe(&safe);
        prop_assert_eq!(sanitise(safe.as_bytes()), safe);
    }

    #[test]
    fn resolved_paths_are_unique_without_case(
        names in proptest::collection::vec(proptest::collection::vec("[aAbB\u{e9}]|e\u{301}|a\\.1", 1..4), 0..40),
    ) {
        let mut paths: Vec<FilePath> =
            names.iter().map(|path| FilePath::new(path.iter().map(String::as_bytes))).collect();
        if resolve_collisions(&mut paths).is_ok() {
            let folded: Vec<String> =
                paths.iter().map(|path| path.as_str().nfc().collect::<String>().to_lowercase()).collect();
            let unique: BTreeSet<&String> = folded.iter().collect();
            prop_assert_eq!(unique.len(), folded.len());
            for path in &folded {
                let folder = format!("{path}/");
                prop_assert!(!folded.iter().any(|other| other.starts_with(&folder)));
            }
        }
    }
}
