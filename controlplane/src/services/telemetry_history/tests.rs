use super::keeper::Keeper;
use super::series::BATCH_P99;
use super::*;

const ACTIVE: usize = 8;

fn second(at_s: u64, frames: u64) -> Row {
    let mut values = [0; COUNT];
    (values[0], values[ACTIVE], values[BATCH_P99]) = (frames, frames + 1, UNKNOWN);
    Row { sequence: 0, at_s, covered_ms: 1_000, values }
}

fn question(step: Step) -> HistoryQuestion {
    HistoryQuestion { step, from_s: None, to_s: None, series: None, limit: 10_000, cursor: None }
}

fn frames(view: &HistoryView) -> Vec<Option<u64>> {
    view.series["frames_received"].clone()
}

/// Seconds as they come, and what is saved when a minute ends.
fn run(history: &History, seconds: impl Iterator<Item = u64>) {
    for at_s in seconds {
        if history.take(&second(at_s, 1)) {
            history.save().unwrap();
        }
    }
}

fn store(dir: &tempfile::TempDir) -> Arc<Entities> {
    Arc::new(Entities::open(dir.path().join("h.redb")).unwrap())
}

#[test]
fn a_crash_costs_the_last_minute_at_most_and_a_gap_is_no_row() {
    let dir = tempfile::tempdir().unwrap();
    let begin = 3_600 * 500_000;
    {
        let history = History::open(store(&dir));
        run(&history, begin..begin + 150);
        // Dropped without saving: a crash after 2 min 30 s.
    }
    let history = History::open(store(&dir));
    // The box is down for ten minutes.
    run(&history, begin + 750..begin + 900);
    let seconds = history.columns(&question(Step::Second));
    assert_eq!(seconds.timestamps[..121], (begin..begin + 121).collect::<Vec<_>>());
    assert_eq!(seconds.timestamps[121], begin + 750, "what nobody saw is not there");
    assert_eq!(seconds.timestamps.len(), 121 + 150);
    let minutes = history.columns(&question(Step::Minute));
    let starts: Vec<u64> = minutes.timestamps.iter().map(|at| (at - begin) / 60).collect();
    assert_eq!(starts, [0, 1, 2, 12, 13, 14]);
    // Of the minute in which it went down a second was saved.
    assert_eq!(frames(&minutes), [60, 60, 1, 30, 60, 60].map(Some));
    assert_eq!(minutes.covered_ms, [60_000, 60_000, 1_000, 30_000, 60_000, 60_000]);
    assert_eq!(minutes.series["flows_active"][0], Some(2), "as it was at the end, not a sum");
    assert_eq!(minutes.series["batch_p99_ns"][0], None, "nobody knows");
    let hours = history.columns(&question(Step::Hour));
    assert_eq!((frames(&hours), hours.timestamps), (vec![Some(121 + 150)], vec![begin]));
}

#[test]
fn an_orderly_stop_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(store(&dir));
    run(&history, 6_000..6_090);
    history.save().unwrap();
    let told = [Step::Second, Step::Minute, Step::Hour].map(|step| history.columns(&question(step)));
    drop(history);
    let history = History::open(store(&dir));
    let again = [Step::Second, Step::Minute, Step::Hour].map(|step| history.columns(&question(step)));
    assert_eq!(again, told);
    // The minute goes on where it was.
    run(&history, 6_090..6_120);
    assert_eq!(frames(&history.columns(&question(Step::Minute))), [Some(60), Some(60)]);
}

#[test]
fn a_clock_that_is_set_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(store(&dir));
    run(&history, 600_000..600_120);
    run(&history, 60..180);
    run(&history, 900_000..900_060);
    let seconds = history.columns(&question(Step::Second));
    assert_eq!(seconds.timestamps.len(), 300);
    assert_eq!((seconds.timestamps[119], seconds.timestamps[120]), (600_119, 60));
    history.save().unwrap();
    drop(history);
    let history = History::open(store(&dir));
    assert_eq!(history.columns(&question(Step::Second)), seconds);
    let of_then = HistoryQuestion { from_s: Some(60), to_s: Some(180), ..question(Step::Minute) };
    assert_eq!(history.columns(&of_then).timestamps, [60, 120]);
}

#[test]
fn what_is_too_old_goes_from_memory_and_from_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let kept = store(&dir);
    let history = History::open(Arc::clone(&kept));
    run(&history, 0..3 * 3_600);
    let seconds = history.columns(&question(Step::Second));
    assert_eq!((seconds.timestamps.len(), seconds.timestamps[0]), (3_600, 2 * 3_600));
    let blocks = kept.all(&SECONDS).unwrap();
    assert!((59..=62).contains(&blocks.len()), "{}", blocks.len());
    assert_eq!(history.columns(&question(Step::Hour)).timestamps, [0, 3_600, 7_200]);
    drop(history);
    // After a restart too.
    let history = History::open(Arc::clone(&kept));
    run(&history, 3 * 3_600..5 * 3_600);
    assert!((59..=62).contains(&kept.all(&SECONDS).unwrap().len()));
    assert_eq!(history.columns(&question(Step::Minute)).timestamps.len(), 300);
}

#[test]
fn pages_cover_all_rows_once_and_without_a_beginning_the_newest_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let history = History::open(store(&dir));
    run(&history, 1_000..1_500);
    let newest = history.columns(&HistoryQuestion { limit: 3, ..question(Step::Second) });
    assert_eq!((newest.timestamps, newest.next_cursor), (vec![1_497, 1_498, 1_499], None));
    let mut seen = Vec::new();
    let mut page = HistoryQuestion { from_s: Some(0), limit: 77, ..question(Step::Second) };
    loop {
        let view = history.columns(&page);
        assert!(view.series.values().all(|column| column.len() == view.timestamps.len()));
        seen.extend(view.timestamps);
        match view.next_cursor {
            Some(next) => page.cursor = next.parse().ok(),
            None => break,
        }
    }
    assert_eq!(seen, (1_000..1_500).collect::<Vec<_>>());
    let only = HistoryQuestion { series: Some(vec![ACTIVE]), ..question(Step::Hour) };
    assert_eq!(history.columns(&only).series.into_keys().collect::<Vec<_>>(), ["flows_active"]);
}

#[test]
fn rows_are_what_happened_between_two_readings() {
    let totals = |frames: u64, batches: &[u64]| {
        let mut histogram = Histogram::new_with_bounds(1, 1_000_000, 2).unwrap();
        batches.iter().for_each(|batch| histogram.record(*batch).unwrap());
        let mut values = [0; COUNT];
        (values[0], values[ACTIVE]) = (frames, 5);
        Totals { values, batch_ns: Some(histogram) }
    };
    let mut keeper = Keeper::since(totals(100, &[900_000]));
    let row = keeper.row(totals(130, &[900_000, 500, 500]), 7, 1_000);
    assert_eq!((row.values[0], row.values[ACTIVE]), (30, 5));
    assert!((495..=505).contains(&row.values[BATCH_P99]), "of this second only: {}", row.values[BATCH_P99]);
    let row = keeper.row(totals(130, &[900_000, 500, 500]), 8, 1_000);
    assert_eq!((row.values[0], known(row.values[BATCH_P99])), (0, None));
}

#[test]
fn rows_of_an_older_version_have_fewer_columns() {
    let row = Row::from(&Stored { n: 1, t: 2, ms: 3, v: vec![Some(4), None] });
    assert_eq!((row.values[0], known(row.values[1]), known(row.values[COUNT - 1])), (4, None, None));
}
