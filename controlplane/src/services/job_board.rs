//! What takes longer than a client should wait, and how far is it?
//!
//! One job runs at a time, on a thread of its own; a few wait. Jobs are told to whoever asked for them and to admins, for an hour
//! after their end, and are forgotten at a restart: whoever polls then hears that there is none, and asks again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dataplane::time::Now;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::auth::desk::Desk;
use super::auth::key::KeyError;
use super::auth::secret::name;
use super::backup::BackupView;
use super::classify::ClassifiedView;

/// Jobs that wait or run at once, of all accounts.
const OPEN_MAX: usize = 16;

/// Of one account: nobody fills the queue alone.
const OPEN_OF_ACCOUNT_MAX: usize = 4;

/// Jobs that are remembered, those that have ended included.
const REMEMBERED_MAX: usize = 128;

/// How long one that has ended is remembered, seconds.
const REMEMBERED_S: u64 = 3_600;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Others are before it.
    Queued,
    /// It is being done.
    Running,
    /// It has a result.
    Succeeded,
    /// It has none.
    Failed,
    /// It was ended by request.
    Cancelled,
}

/// How far a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProgressView {
    /// So much is done.
    pub done: u64,
    /// Of so much.
    pub total: u64,
    /// Of what: `bytes`.
    pub unit: &'static str,
}

/// What jobs come to, by their kind.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub enum ResultView {
    /// Of `dpi.classify`.
    Classified(ClassifiedView),
    /// Of `admin.backup`.
    Backup(BackupView),
}

/// A job as it is shown.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JobView {
    /// Its name.
    pub job_id: String,
    /// What it does.
    pub kind: &'static str,
    /// Where it stands.
    pub state: JobState,
    /// How far it is, where that can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<ProgressView>,
    /// When it was asked for, seconds since 1970.
    pub created_s: u64,
    /// When it began, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_s: Option<u64>,
    /// When it ended, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_s: Option<u64>,
    /// Whose it is.
    pub user_id: String,
    /// What came of it, once it has succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ResultView>)]
    pub result: Option<Value>,
    /// Why nothing came of it, a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a job reads and writes while it runs.
#[derive(Debug, Default)]
pub struct Progress {
    cancelled: AtomicBool,
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Whether somebody asked for its end.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// So many bytes of so many are done.
    pub fn set(&self, done: u64, total: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn view(&self) -> Option<ProgressView> {
        let total = self.total.load(Ordering::Relaxed);
        (total > 0).then(|| ProgressView { done: self.done.load(Ordering::Relaxed), total, unit: "bytes" })
    }
}

/// Why a job is not taken.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Too many wait.
    #[error("{OPEN_MAX} jobs may wait or run: wait for one to end")]
    Busy,
    /// Too many of this account's do.
    #[error("{OPEN_OF_ACCOUNT_MAX} jobs of one account may wait or run: wait for one to end")]
    TooMany,
    /// It can be given no name.
    #[error(transparent)]
    Name(#[from] KeyError),
}

#[derive(Debug)]
struct Job {
    view: JobView,
    progress: Arc<Progress>,
}

/// All jobs.
#[derive(Debug)]
pub struct JobBoard {
    shared: Arc<Shared>,
    desk: Desk,
}

#[derive(Debug, Default)]
struct Shared {
    jobs: Mutex<VecDeque<Job>>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, job_id: &str, change: impl FnOnce(&mut JobView)) {
        if let Some(job) = self.lock().iter_mut().find(|job| job.view.job_id == job_id) {
            change(&mut job.view);
        }
        self.changed.notify_all();
    }
}

impl Default for JobBoard {
    fn default() -> Self {
        Self { shared: Arc::default(), desk: Desk::new("jarvis-job") }
    }
}

impl JobBoard {
    /// Takes a job of `user_id`; `work` gives its result, or a sentence on why there is none.
    ///
    /// # Errors
    ///
    /// [`JobError::Busy`].
    pub fn submit(
        &self,
        kind: &'static str,
        user_id: &str,
        clock: fn() -> Now,
        work: impl FnOnce(&Progress) -> Result<Value, String> + Send + 'static,
    ) -> Result<JobView, JobError> {
        let seconds = move || clock().wall.0 / 1_000_000_000;
        let now_s = seconds();
        let progress = Arc::new(Progress::default());
        let view = JobView {
            job_id: name("j-")?,
            kind,
            state: JobState::Queued,
            progress: None,
            created_s: now_s,
            started_s: None,
            ended_s: None,
            user_id: user_id.to_owned(),
            result: None,
            error: None,
        };
        {
            let mut jobs = self.shared.lock();
            forget(&mut jobs, now_s);
            let open = jobs.iter().filter(|job| job.view.ended_s.is_none());
            let own = open.clone().filter(|job| job.view.user_id == user_id).count();
            if own >= OPEN_OF_ACCOUNT_MAX {
                return Err(JobError::TooMany);
            }
            if open.count() >= OPEN_MAX {
                return Err(JobError::Busy);
            }
            jobs.push_back(Job { view: view.clone(), progress: Arc::clone(&progress) });
        }
        let (shared, job_id) = (Arc::clone(&self.shared), view.job_id.clone());
        let queued = self.desk.post(Box::new(move || {
            if progress.is_cancelled() {
                return;
            }
            shared
                .change(&job_id, |view| (view.state, view.started_s) = (JobState::Running, Some(seconds())));
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work(&progress)));
            let done = done.unwrap_or_else(|_panic| Err("The job ended without a result.".to_owned()));
            shared.change(&job_id, |view| {
                view.ended_s = Some(seconds());
                match done {
                    _ if progress.is_cancelled() => view.state = JobState::Cancelled,
                    Ok(result) => (view.state, view.result) = (JobState::Succeeded, Some(result)),
                    Err(error) => (view.state, view.error) = (JobState::Failed, Some(error)),
                }
            });
        }));
        if queued.is_err() {
            self.shared.lock().retain(|job| job.view.job_id != view.job_id);
            return Err(JobError::Busy);
        }
        Ok(view)
    }

    /// The jobs of `user_id`, or all of them, oldest first; results are with the single ones.
    #[must_use]
    pub fn list(&self, user_id: Option<&str>, now_s: u64) -> Vec<JobView> {
        let mut jobs = self.shared.lock();
        forget(&mut jobs, now_s);
        let of = |job: &&Job| user_id.is_none_or(|user_id| job.view.user_id == user_id);
        jobs.iter().filter(of).map(|job| JobView { result: None, ..shown(job) }).collect()
    }

    /// One job, where it is `user_id`'s if one is given.
    #[must_use]
    pub fn get(&self, job_id: &str, user_id: Option<&str>, now_s: u64) -> Option<JobView> {
        let mut jobs = self.shared.lock();
        forget(&mut jobs, now_s);
        find(&jobs, job_id, user_id).map(shown)
    }

    /// The same once it has ended, or after `patience`. Blocks the calling thread.
    #[must_use]
    pub fn wait(&self, job_id: &str, patience: Duration) -> Option<JobView> {
        let open =
            |jobs: &mut VecDeque<Job>| find(jobs, job_id, None).is_some_and(|job| job.view.ended_s.is_none());
        let waited = self.shared.changed.wait_timeout_while(self.shared.lock(), patience, open);
        let (jobs, _timed_out) = waited.unwrap_or_else(PoisonError::into_inner);
        find(&jobs, job_id, None).map(shown)
    }

    /// Asks for a job's end, or forgets one that has ended; gives what it was.
    pub fn end(&self, job_id: &str, user_id: Option<&str>, now_s: u64) -> Option<JobView> {
        let mut jobs = self.shared.lock();
        let at = jobs.iter().position(|job| is(job, job_id, user_id))?;
        let before = shown(&jobs[at]);
        let job = &mut jobs[at];
        job.progress.cancelled.store(true, Ordering::Relaxed);
        match job.view.state {
            // The thread finds it cancelled.
            JobState::Queued => (job.view.state, job.view.ended_s) = (JobState::Cancelled, Some(now_s)),
            JobState::Running => {}
            JobState::Succeeded | JobState::Failed | JobState::Cancelled => {
                jobs.remove(at);
            }
        }
        drop(jobs);
        self.shared.changed.notify_all();
        Some(before)
    }
}

impl Drop for JobBoard {
    fn drop(&mut self) {
        // The desk waits for what it does: it is not to wait long.
        for job in self.shared.lock().iter() {
            job.progress.cancelled.store(true, Ordering::Relaxed);
        }
    }
}

fn is(job: &Job, job_id: &str, user_id: Option<&str>) -> bool {
    job.view.job_id == job_id && user_id.is_none_or(|user_id| job.view.user_id == user_id)
}

fn find<'j>(jobs: &'j VecDeque<Job>, job_id: &str, user_id: Option<&str>) -> Option<&'j Job> {
    jobs.iter().find(|job| is(job, job_id, user_id))
}

fn shown(job: &Job) -> JobView {
    JobView { progress: job.progress.view(), ..job.view.clone() }
}

/// Lets go of what ended long ago, and of the oldest where there are too many; never of one that is open.
fn forget(jobs: &mut VecDeque<Job>, now_s: u64) {
    let ended_long_ago = |job: &Job| job.view.ended_s.is_some_and(|ended_s| ended_s + REMEMBERED_S < now_s);
    jobs.retain(|job| !ended_long_ago(job));
    while jobs.len() >= REMEMBERED_MAX {
        let Some(oldest) = jobs.iter().position(|job| job.view.ended_s.is_some()) else { break };
        jobs.remove(oldest);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use dataplane::time::Wall;

    use super::*;

    fn clock() -> Now {
        Now { wall: Wall(1_000 * 1_000_000_000), ..Now::default() }
    }

    #[test]
    fn a_job_is_queued_runs_and_has_a_result() {
        let board = JobBoard::default();
        let (go, gate) = channel::<()>();
        let first = board
            .submit("test", "ann", clock, move |progress| {
                progress.set(1, 4);
                gate.recv().map_err(|error| error.to_string())?;
                Ok(7.into())
            })
            .unwrap();
        let second = board.submit("test", "ann", clock, |_| Err("no luck".to_owned())).unwrap();
        assert_eq!(board.get(&second.job_id, Some("ann"), 1_000).unwrap().state, JobState::Queued);
        assert!(board.get(&second.job_id, Some("bob"), 1_000).is_none(), "another's");
        go.send(()).unwrap();
        let done = board.wait(&first.job_id, Duration::from_secs(10)).unwrap();
        assert_eq!((done.state, done.result), (JobState::Succeeded, Some(7.into())));
        assert_eq!(done.progress.map(|progress| (progress.done, progress.total)), Some((1, 4)));
        let failed = board.wait(&second.job_id, Duration::from_secs(10)).unwrap();
        assert_eq!((failed.state, failed.error.as_deref()), (JobState::Failed, Some("no luck")));
        assert_eq!(board.list(None, 1_000).len(), 2);
        assert!(board.list(None, 1_000 + REMEMBERED_S + 1).is_empty(), "an hour later");
    }

    #[test]
    fn jobs_end_on_request() {
        let board = JobBoard::default();
        let (running, runs) = channel();
        let first = board
            .submit("test", "ann", clock, move |progress| {
                let _ = running.send(());
                while !progress.is_cancelled() {
                    std::thread::yield_now();
                }
                Ok(Value::Null)
            })
            .unwrap();
        let second = board.submit("test", "ann", clock, |_| Ok(Value::Null)).unwrap();
        runs.recv().unwrap();
        assert_eq!(board.end(&second.job_id, Some("ann"), 1_000).unwrap().state, JobState::Queued);
        assert_eq!(board.get(&second.job_id, None, 1_000).unwrap().state, JobState::Cancelled);
        assert!(board.end(&first.job_id, Some("bob"), 1_000).is_none());
        board.end(&first.job_id, None, 1_000).unwrap();
        assert_eq!(board.wait(&first.job_id, Duration::from_secs(10)).unwrap().state, JobState::Cancelled);
        board.end(&first.job_id, None, 1_000).unwrap();
        assert!(board.get(&first.job_id, None, 1_000).is_none(), "forgotten");
    }

    #[test]
    fn one_account_cannot_fill_the_queue() {
        let board = JobBoard::default();
        let (go, gate) = channel::<()>();
        board
            .submit("test", "ann", clock, move |_| {
                gate.recv().map(|()| Value::Null).map_err(|e| e.to_string())
            })
            .unwrap();
        for _ in 1..OPEN_OF_ACCOUNT_MAX {
            board.submit("test", "ann", clock, |_| Ok(Value::Null)).unwrap();
        }
        assert!(matches!(board.submit("test", "ann", clock, |_| Ok(Value::Null)), Err(JobError::TooMany)));
        board.submit("test", "bob", clock, |_| Ok(Value::Null)).unwrap();
        go.send(()).unwrap();
    }
}
