//! The tables of docs/telemetry.md: each instrument in them is exported and
//! scraped as they say, and there is no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fanlight_tests::client::raw;
use fanlight_tests::collected::CollectedPoint;
use fanlight_tests::collector::Collector;
use fanlight_tests::eventually;
use fanlight_tests::fixture::{FAULTS, version};
use fanlight_tests::host::{RunningHost, TestHost};
use fanlight_tests::prometheus::{Families, parse};
use http::Method;

const DOCUMENT: &str = include_str!("../../../docs/telemetry.md");
/// What the document calls the six.
const THE_SIX: [&str; 6] = [
    "http.request.method",
    "url.scheme",
    "network.protocol.version",
    "http.response.status_code",
    "http.route",
    "error.type",
];

/// A row of a table.
#[derive(Debug)]
struct Documented {
    kind: String,
    unit: String,
    attributes: BTreeSet<String>,
}

/// The rows below `## Metrics`, by name.
fn documented() -> BTreeMap<String, Documented> {
    let (_, section) = DOCUMENT.split_once("\n## Metrics\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [name, kind, unit, attributes] = cells[..] else {
            unreachable!("{row}")
        };
        let mut known: BTreeSet<_> = quoted(attributes).map(str::to_owned).collect();
        if attributes.contains("the six") {
            known.extend(THE_SIX.map(str::to_owned));
        }
        let row = Documented {
            kind: kind.to_owned(),
            unit: unit.trim_matches('`').to_owned(),
            attributes: known,
        };
        (name.trim_matches('`').to_owned(), row)
    })
    .collect()
}

fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

impl Documented {
    /// The name that Prometheus has for it, and the kind.
    fn in_prometheus(&self, name: &str) -> (String, &'static str) {
        let unit = match self.unit.as_str() {
            "s" => "_seconds",
            "By" => "_bytes",
            annotation if annotation.starts_with('{') => "",
            other => unreachable!("the document has a unit more: {other}"),
        };
        let (total, kind) = match self.kind.as_str() {
            "counter" => ("_total", "counter"),
            "histogram" => ("", "histogram"),
            _ => ("", "gauge"),
        };
        (format!("{}{unit}{total}", name.replace('.', "_")), kind)
    }

    /// The kind as it is in OTLP.
    fn in_otlp(&self) -> &'static str {
        match self.kind.as_str() {
            "counter" => "sum",
            "up-down counter" => "up-down",
            "gauge" => "gauge",
            "histogram" => "histogram",
            other => unreachable!("the document has a kind more: {other}"),
        }
    }
}

/// A host that has done what each instrument counts.
async fn busy_host(collector: &Collector) -> RunningHost {
    let host = TestHost::serving(FAULTS)
        .calling(&["127.0.0.1:*"])
        .exporting_to(collector)
        .requests(|limits| {
            limits.max_instances = 1.try_into().unwrap();
            limits.queue_timeout = Duration::from_millis(50);
            limits.cpu_sample_period = Some(1.try_into().unwrap());
        })
        .start()
        .await;
    assert_eq!(host.get("/counter").send().await.status, 200);
    assert_eq!(host.get("/trap").send().await.status, 500);
    assert_eq!(host.get("/exit?code=1").send().await.status, 500);
    // It is refused, as it leads back to this host.
    let own = format!("/outbound?url=http://{}/", host.address);
    assert_eq!(host.get(&own).send().await.body, "508\n");
    assert_eq!(host.put(version(1)).await.status, 200);
    raw(host.address, b"no HTTP at all\r\n\r\n").await;
    // It keeps the only instance for a while.
    assert_eq!(host.get("/late?ms=60000").send().await.status, 200);
    assert_eq!(host.get("/counter").send().await.status, 503);
    host
}

async fn scraped(host: &RunningHost) -> Families {
    let answer = host.ask_admin(Method::GET, "/metrics").send().await;
    assert_eq!(answer.status, 200);
    parse(std::str::from_utf8(&answer.body).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_instrument_in_the_document_is_there_as_it_says_and_no_other() {
    let documented = documented();
    assert!(documented.len() >= 19, "{documented:#?}");
    let collector = Collector::start().await;
    let host = busy_host(&collector).await;

    for name in documented.keys() {
        let is_it = |point: &CollectedPoint| point.name == *name;
        eventually(&format!("{name}, which docs/telemetry.md has"), || {
            collector.all_points().iter().any(is_it).then_some(())
        })
        .await;
    }
    for point in collector.all_points() {
        let Some(row) = documented.get(&point.name) else {
            // What guests count is theirs to document.
            assert_ne!(point.scope, "fanlight", "undocumented: {point:#?}");
            continue;
        };
        assert_eq!(point.scope, "fanlight");
        assert_eq!(point.kind, row.in_otlp(), "{}", point.name);
        assert_eq!(point.unit, row.unit, "{}", point.name);
        let unknown = point
            .attributes
            .keys()
            .find(|it| !row.attributes.contains(*it));
        assert_eq!(unknown, None, "an attribute of {}", point.name);
    }

    let mut families = scraped(&host).await;
    for (name, row) in &documented {
        let (name, kind) = row.in_prometheus(name);
        let family = families.remove(&name);
        let family = family.unwrap_or_else(|| unreachable!("no {name} in /metrics"));
        assert_eq!(family.kind, kind, "{name}");
        assert!(!family.help.is_empty(), "{name}");
        let labels = family
            .samples
            .iter()
            .flat_map(|sample| sample.labels.keys());
        for label in labels.filter(|label| *label != "le") {
            let known = row
                .attributes
                .iter()
                .any(|it| it.replace('.', "_") == *label);
            assert!(known, "the label {label} of {name}");
        }
        if kind == "histogram" {
            let buckets = family.of(&format!("{name}_bucket"), &[]);
            assert!(buckets.len() > 10, "{name}");
        }
    }
    assert!(families.remove("target_info").is_some());
    let rest: Vec<_> = families
        .keys()
        .filter(|name| name.starts_with("fanlight_") || name.starts_with("http_"))
        .collect();
    assert_eq!(rest, [""; 0], "undocumented");
}
