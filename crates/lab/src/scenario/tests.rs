use super::*;

const GOOD: &str = "protocol = \"kademlia\"\nnodes = 100\n";

fn error(rest: &str) -> String {
    Scenario::parse("x", &format!("{GOOD}{rest}")).map(|_| "no error").unwrap_err().to_string()
}

#[test]
fn a_short_scenario_has_defaults() {
    let scenario = Scenario::parse("x", GOOD).unwrap();
    assert_eq!((scenario.name.as_str(), scenario.nodes, scenario.seed), ("x", 100, 1));
    assert_eq!(scenario.latency, LatencyConfig::Synthetic {});
    assert_eq!(scenario.start, Start::Built);
}

#[test]
fn every_error_names_the_line_and_the_key() {
    let cases = [
        ("nodse = 5", "line 3, `nodse`: unknown field `nodse`"),
        ("[link]\nloss = 1.5", "line 4, `link.loss`: 1.5 is not a share between 0 and 1"),
        ("[link]\n\n# none\nloss = \"much\"", "line 6, `link.loss`: invalid type: string \"much\""),
        ("[link]\nlos = 0.1", "line 4, `link.los`: unknown field `los`"),
        ("[latency]\nmodel = \"straight\"", "unknown variant `straight`"),
        ("[workload]\nsearches = -1", "line 4, `workload.searches`: invalid value: integer `-1`"),
        ("[workload]\nover_s = inf", "line 4, `workload.over_s`: inf is not between"),
        ("[expect]\nsucces = \">= 1\"", "line 4, `expect.succes`: no such figure; there are success"),
        ("[expect]\nsuccess = \"high\"", "line 4, `expect.success`: \"high\" is not a condition"),
        ("[settings]\nkk = 3", "line 4, `settings.kk`: unknown field `kk`"),
        ("[settings]\nalpha = \"x\"", "line 4, `settings.alpha`: invalid type: string \"x\""),
        ("[settings]\nalpha = 0", "line 4, `settings.alpha`: "),
        ("[nat]\nmoderate = 0.6\nstrict = 0.6", "line 3, `nat`: the shares are more than 1"),
        ("[[fault]]\nkind = \"crash\"\nat_s = 1\nshare = 2.0", "line 6, `fault.share`: 2 is not a share"),
        (
            "[churn.session]\nmodel = \"weibull\"\nshape = 0\nscale_s = 1\n[churn.away]\nmodel = \"constant\"\nseconds = 1",
            "line 5, `churn.session.shape`: 0 is not a positive number",
        ),
        ("[link\nloss = 1", "line 4, `loss`: unclosed table"),
    ];
    for (text, expected) in cases {
        let message = error(text);
        assert!(message.contains(expected), "{text:?}\n  gave     {message}\n  expected {expected}");
    }
    let message = Scenario::parse("x", "protocol = \"carrier pigeon\"\nnodes = 3").unwrap_err().to_string();
    assert!(
        message.starts_with("line 1, `protocol`: \"carrier pigeon\" is none of central, kademlia"),
        "{message}"
    );
    let message = Scenario::parse("x", "protocol = \"kademlia\"").unwrap_err().to_string();
    assert!(message.contains("missing field `nodes`"), "{message}");
    let message = Scenario::parse("x", "protocol = \"kademlia\"\nnodes = 1").unwrap_err().to_string();
    assert!(message.starts_with("line 2, `nodes`: 1 is not between 2 and"), "{message}");
}
