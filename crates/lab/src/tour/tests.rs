use super::*;

fn walk() -> Vec<Station> {
    KINDS.iter().map(|kind| visit(kind, 1, &mut |_| true).unwrap().unwrap()).collect()
}

/// The words of the kinds claim this; the runs must show it.
#[test]
fn the_runs_show_what_the_words_say() {
    let stations = walk();
    println!("{}", closing(&stations));
    let [central, pure, hybrid, structured] = &stations[..] else { panic!("four kinds") };
    for station in &stations {
        assert!(station.large.found >= 0.97, "{}: {:?}", station.name, station.large);
    }
    // "A search is one question and one answer, however many nodes there are."
    assert!(central.small.messages <= 2.0 && central.large.messages <= 2.0);
    // "One machine is enough to end it."
    assert!(central.trouble.found < 0.1 && central.large.busiest_share > 0.3, "{central:?}");
    // "With each node more, every search gets dearer."
    assert!(pure.large.messages > 3.0 * pure.small.messages, "{pure:?}");
    assert!(pure.trouble.found > 0.95, "{pure:?}");
    // "Cheaper than a flood; it lives by the strong."
    assert!(hybrid.large.messages < pure.large.messages / 2.0, "{hybrid:?}");
    assert!(hybrid.large.busiest_share > 3.0 * pure.large.busiest_share, "{hybrid:?}");
    // "Cheap at any size, without a centre."
    assert!(structured.large.messages < 2.0 * structured.small.messages, "{structured:?}");
    assert!(
        structured.large.messages < hybrid.large.messages && structured.trouble.found > 0.9,
        "{structured:?}"
    );
    assert!(structured.large.busiest_share < 0.05, "{structured:?}");
    // Text and page tell of each.
    let page = page(&stations, false);
    let told: String = stations.iter().enumerate().map(|(at, one)| station(at + 1, one)).collect();
    for kind in &KINDS {
        assert!(told.contains(kind.examples) && page.contains(kind.examples) && page.contains(kind.lesson));
    }
    assert!(told.lines().all(|line| line.len() <= 100));
    assert!(closing(&stations).lines().count() > 8);
    assert!(!page.contains("http://") && !page.contains("https://") && !page.contains("src="));
    assert_eq!(page.matches("class=\"overlay\"").count(), 4);
}

#[test]
fn a_stopped_walk_gives_nothing_and_the_page_says_so() {
    assert!(visit(&KINDS[1], 1, &mut |_| false).unwrap().is_none());
    assert!(page(&[], true).contains("The walk was stopped"));
}

#[test]
fn shares_are_told_as_they_are() {
    let told: Vec<String> = [0.0, 0.005, 0.5, 0.9996, 1.0].map(text::percent).into();
    assert_eq!(told, ["0 %", "0.5 %", "50 %", "99.9 %", "100 %"]);
}
