//! Work that takes its time: files are hashed before they are shared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use peerage_api::Event;
use peerage_api::control::{Change, Job, JobState, NewShare, TransferKind};
use peerage_api::error::{ExitCode, Failure};
use peerage_content::Version;

use super::commands::{MadeShare, folder};
use super::record::Record;
use super::{Daemon, Done};
use crate::ops::make;

/// Jobs under way at a time.
const RUNNING_MAX: usize = 8;
/// Jobs that are remembered after their end.
const KEPT_MAX: usize = 100;
/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(500);

/// The jobs of this run.
#[derive(Default)]
pub(super) struct Jobs {
    jobs: BTreeMap<u64, (Job, Arc<AtomicBool>)>,
    last: u64,
}

/// How a job goes on.
pub(super) enum Step {
    /// Bytes done, of how many.
    Progress(u64, u64),
    /// The files of a share were hashed.
    Made(Result<Box<MadeShare>, Failure>),
}

fn unknown(id: &str) -> Failure {
    let message = format!("there is no job {}", crate::ops::printable(id));
    Failure::new(ExitCode::NotFound, "E_NO_JOB", message).hint("jobs are forgotten some time after their end")
}

impl Jobs {
    fn get(&self, id: &str) -> Result<&(Job, Arc<AtomicBool>), Failure> {
        id.parse().ok().and_then(|number: u64| self.jobs.get(&number)).ok_or_else(|| unknown(id))
    }
}

impl Daemon {
    /// How a job is.
    pub(crate) fn job(&self, id: &str) -> Result<Job, Failure> {
        self.jobs.get(id).map(|(job, _)| job.clone())
    }

    /// Cancels a job.
    pub(crate) fn cancel_job(&mut self, id: &str) -> Result<(), Failure> {
        self.jobs.get(id).map(|(_, cancel)| cancel.store(true, Ordering::Relaxed))
    }

    /// Begins to hash files, which are shared then.
    pub(crate) fn share(&mut self, share: &NewShare) -> Result<Job, Failure> {
        if share.paths.is_empty() {
            return Err(Failure::new(ExitCode::Usage, "E_USAGE", "no path is given"));
        }
        let running = self.jobs.jobs.values().filter(|(job, _)| job.state == JobState::Running).count();
        if running >= RUNNING_MAX {
            let message = format!("{RUNNING_MAX} jobs are under way");
            return Err(
                Failure::new(ExitCode::Conflict, "E_BUSY", message).hint("wait until one of them has ended")
            );
        }
        let texts: Result<Vec<String>, Failure> = share.paths.iter().map(|path| folder(path)).collect();
        let paths: Vec<PathBuf> = texts?.into_iter().map(PathBuf::from).collect();
        let add = peerage_api::control::Add {
            category: share.category.clone(),
            tags: share.tags.clone(),
            trackers: share.trackers.clone(),
            expires_at: share.expires_at,
            folder: paths.first().and_then(|path| Some(path.parent()?.to_string_lossy().into_owned())),
            ..Default::default()
        };
        let record = Record { kind: TransferKind::Share, ..self.record_of(&add)? };
        self.jobs.last += 1;
        let (number, id) = (self.jobs.last, self.jobs.last.to_string());
        let cancel = Arc::new(AtomicBool::new(false));
        let job =
            Job { id: id.clone(), state: JobState::Running, done: 0, total: 0, transfer: None, error: None };
        self.jobs.jobs.insert(number, (job.clone(), Arc::clone(&cancel)));
        self.forget_jobs();
        let (inbox, name) = (self.inbox.clone(), share.name.clone());
        tokio::task::spawn_blocking(move || {
            let (progress, of) = (inbox.clone(), id.clone());
            let told = Mutex::new(None::<Instant>);
            let sink: crate::Sink = Arc::new(move |event| {
                let Event::Hashing { done, total } = event else { return };
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.is_none_or(|at| at.elapsed() >= INTERVAL) {
                    *told = Some(Instant::now());
                    progress.put(Done::Job(of.clone(), Step::Progress(done, total)));
                }
            });
            let made = make(&paths, name, None, Version::Hybrid, false, &sink, cancel).map(|mut made| {
                made.metainfo.trackers.clone_from(&record.trackers);
                let crate::ops::Made { metainfo, paths, identities, .. } = made;
                Box::new(MadeShare { metainfo, paths, identities, record })
            });
            inbox.put(Done::Job(id, Step::Made(made)));
        });
        Ok(job)
    }

    fn forget_jobs(&mut self) {
        while self.jobs.jobs.len() > KEPT_MAX {
            let ended = self.jobs.jobs.iter().find(|(_, (job, _))| job.state != JobState::Running);
            let Some(number) = ended.map(|(number, _)| *number) else { return };
            self.jobs.jobs.remove(&number);
        }
    }

    pub(super) fn on_job(&mut self, id: &str, step: Step) {
        let Ok(mut job) = self.job(id) else { return };
        match step {
            Step::Progress(done, total) => (job.done, job.total) = (done, total),
            Step::Made(Ok(made)) => {
                job.total = made.metainfo.info.layout.total_len();
                job.done = job.total;
                match self.add_share(*made) {
                    Ok(detail) => {
                        job.state = JobState::Done;
                        job.transfer = Some(detail.transfer.id);
                    }
                    Err(failure) => {
                        job.state = JobState::Failed;
                        job.error = Some(failure);
                    }
                }
            }
            Step::Made(Err(failure)) => {
                job.state = JobState::Failed;
                job.error = Some(failure);
            }
        }
        // Told once it is durable: whoever hears of a share may rely on it.
        self.save_changed();
        let (board, told) = (Arc::clone(&self.board), job.clone());
        let at = super::unix_now();
        self.catalog.settle(move |_| board.tell(at, Change::Job { job: told }));
        if let Some(entry) = id.parse().ok().and_then(|number: u64| self.jobs.jobs.get_mut(&number)) {
            entry.0 = job;
        }
    }
}
