//! `/metrics`: what a monitoring system asks for, in the OpenMetrics text format.
//!
//! How the daemon is doing is read from its status at each request; only the times of requests are counted here.
//! No label names a peer or a transfer: their number has no bound, and who they are is nobody's business.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use peerage_api::control::Status;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::daemon::board::Board;

/// Media type of the text.
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Upper ends of the times that requests are sorted into, seconds.
const REQUEST_SECONDS: [f64; 8] = [0.000_5, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0];
/// What the kernel counts a process's time in: fixed on Linux, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Route, method, status.
type RequestLabels = [(&'static str, String); 3];

/// What is counted, and where the rest is read.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Histogram, fn() -> Histogram>,
}

impl Metrics {
    /// Metrics of the daemon that shows itself on this board.
    pub fn new(board: Arc<Board>) -> Self {
        let mut registry = Registry::default();
        let requests: Family<RequestLabels, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS));
        registry.register_with_unit(
            "peerage_http_request_duration",
            "Time until an answer of the control API began",
            Unit::Seconds,
            requests.clone(),
        );
        registry.register_collector(Box::new(Shown(board)));
        Self { registry, requests }
    }

    /// A request has been answered. `route` is one of the API's own paths, so that there are few.
    pub fn answered(&self, route: &str, method: &str, status: u16, took: Duration) {
        let labels =
            [("route", route.to_owned()), ("method", method.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Everything, as text.
    ///
    /// # Errors
    /// A value has no text.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

/// What the board shows, and what the kernel knows of the process.
struct Shown(Arc<Board>);

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl Collector for Shown {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut page = Page(encoder);
        node(&mut page, &self.0.status())?;
        process(&mut page)
    }
}

fn node(page: &mut Page<'_>, status: &Status) -> fmt::Result {
    let build = [("version", status.build.version.as_str()), ("api", status.build.api.as_str())];
    page.labelled("peerage_build_info", "What runs; always 1", &[(&build, 1)])?;
    let counts = &status.transfers;
    let states = [
        ("checking", counts.checking),
        ("metadata", counts.metadata),
        ("downloading", counts.downloading),
        ("seeding", counts.seeding),
        ("queued", counts.queued),
        ("paused", counts.paused),
        ("error", counts.error),
    ];
    let states = states.map(|(state, count)| ([("state", state)], count));
    let rows: Vec<(&[(&str, &str)], u64)> =
        states.iter().map(|(labels, count)| (labels.as_slice(), u64::from(*count))).collect();
    page.labelled("peerage_transfers", "Transfers, by state", &rows)?;
    let bytes = Some(Unit::Bytes);
    let totals = &status.totals;
    page.counter(
        "peerage_transfer_received",
        "Content from peers since the first start",
        bytes.as_ref(),
        totals.downloaded,
    )?;
    page.counter(
        "peerage_transfer_sent",
        "Content to peers since the first start",
        bytes.as_ref(),
        totals.uploaded,
    )?;
    page.gauge("peerage_peers_connected", "Open connections to peers", None, status.peers)?;
    page.gauge("peerage_peers_half_open", "Connections being opened", None, status.half_open)?;
    page.gauge("peerage_store_free", "Free where downloads go", bytes.as_ref(), status.free_bytes)?;
    page.gauge("peerage_paused", "1 while everything is paused", None, u8::from(status.paused))?;
    page.gauge("peerage_warnings", "Warnings that are shown", None, status.warnings.len() as u64)?;
    if let Some(dht) = &status.dht {
        page.gauge("peerage_dht_routing_table_nodes", "Nodes in the DHT's tables", None, dht.nodes)?;
        page.gauge(
            "peerage_dht_torrents",
            "Torrents of which peers are kept for others",
            None,
            dht.torrents,
        )?;
        page.gauge("peerage_dht_items", "Items that are kept for others", None, dht.items)?;
        if let Some(nodes) = dht.network_about {
            page.gauge("peerage_dht_network_nodes", "About how many nodes the DHT has", None, nodes)?;
        }
    }
    page.gauge("process_start_time", "When it began, since 1970", Some(&Unit::Seconds), status.started_at)
}

/// What every process tells, where `/proc` is.
fn process(page: &mut Page<'_>) -> fmt::Result {
    if let Some(seconds) = cpu_seconds() {
        let help = "Processor time of the program and of the kernel for it";
        page.counter("process_cpu", help, Some(&Unit::Seconds), seconds)?;
    }
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory", "Memory in use", Some(&Unit::Bytes), bytes)?;
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // The folder itself is open while it is read.
        let open = open.count().saturating_sub(1) as u64;
        page.gauge("process_open_fds", "Open descriptors", None, open)?;
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    page.gauge("process_max_fds", "Descriptors that may be open", None, limit.unwrap_or(u64::MAX))
}

/// Fields 14 and 15 of `/proc/self/stat` (proc(5)), counted behind the name, which may hold anything.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index)?.parse::<u32>().ok();
    Some((f64::from(ticks(11)?) + f64::from(ticks(12)?)) / TICKS_PER_SECOND)
}

/// The second field of `/proc/self/statm` (proc(5)).
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    pages.checked_mul(rustix::param::page_size() as u64)
}

/// The text being written.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: impl Into<u64>) -> fmt::Result {
        let gauge = ConstGauge::new(value.into());
        gauge.encode(self.0.encode_descriptor(name, help, unit, gauge.metric_type())?)
    }

    fn counter<N>(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: N) -> fmt::Result
    where
        ConstCounter<N>: EncodeMetric,
    {
        let counter = ConstCounter::new(value);
        counter.encode(self.0.encode_descriptor(name, help, unit, counter.metric_type())?)
    }

    /// A gauge for each set of labels.
    fn labelled(&mut self, name: &str, help: &str, rows: &[(&[(&str, &str)], u64)]) -> fmt::Result {
        let kind = ConstGauge::new(0u64).metric_type();
        let mut encoder = self.0.encode_descriptor(name, help, None, kind)?;
        for (labels, value) in rows {
            ConstGauge::new(*value).encode(encoder.encode_family(labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_api::control::{Counts, Totals};

    #[test]
    fn the_status_and_the_process_are_told() {
        let board = Arc::new(Board::new("r".to_owned()));
        let transfers = Counts { all: 3, seeding: 2, error: 1, ..Counts::default() };
        let totals = Totals { downloaded: 5, uploaded: 7 };
        board.set_status(Status { transfers, totals, ..Status::default() });
        let metrics = Metrics::new(board);
        metrics.answered("/api/v1/status", "GET", 200, Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        for line in [
            "# TYPE peerage_transfers gauge",
            "peerage_transfers{state=\"seeding\"} 2",
            "peerage_transfers{state=\"error\"} 1",
            "peerage_transfer_received_bytes_total 5",
            "peerage_transfer_sent_bytes_total 7",
            "# UNIT peerage_store_free_bytes bytes",
            "peerage_http_request_duration_seconds_bucket{le=\"0.005\",route=\"/api/v1/status\",method=\"GET\",status=\"200\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        let memory = text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes "));
        assert!(memory.unwrap().parse::<u64>().unwrap() > 1 << 20, "{memory:?}");
    }
}
