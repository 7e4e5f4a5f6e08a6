//! A reader: one position in the journal, and the rules that stand at it.

use std::cell::OnceCell;
use std::sync::Arc;

use picket_contract::{Admission, Key, Mark, Position};
use picket_event::{Page, Plan, RowRef};
use picket_store::{StoreError, StoredAdmission};

use crate::marks::{self, Basis, Marks};
use crate::queue::{self, Adopted, Queue};
use crate::sheet::Sheet;

/// Rows that all rules of a reader are shown before the next, and what the last call with them may assume.
pub(crate) struct Run<'a> {
    /// In release order.
    pub(crate) rows: &'a [RowRef],
    /// Every row up to this time that is not late has been shown, once these are.
    pub(crate) watermark: i64,
    /// Where the rules stand before these rows.
    pub(crate) from: &'a Position,
    /// Where they stand after them.
    pub(crate) to: &'a Position,
    /// Late rows: all or nothing, since a position cannot tell which of them were shown.
    pub(crate) late: bool,
    /// How the watermark rose, and the number of the entry with each step.
    steps: &'a [(i64, u64)],
    /// See [`Run::numbered`].
    numbers: OnceCell<Vec<(u64, u32)>>,
}

impl<'a> Run<'a> {
    fn new(
        rows: &'a [RowRef],
        watermark: i64,
        from: &'a Position,
        to: &'a Position,
        steps: Option<&'a [(i64, u64)]>,
    ) -> Self {
        Run {
            rows,
            watermark,
            from,
            to,
            late: steps.is_none(),
            steps: steps.unwrap_or_default(),
            numbers: OnceCell::new(),
        }
    }

    /// Number of the journal's entry that let go what is due at this time (ms): a row, a timer.
    pub(crate) fn released(&self, time: i64) -> u64 {
        let step = self.steps.partition_point(|(watermark, _)| *watermark < time);
        self.steps.get(step).map_or(self.to.seq, |(_, entry)| *entry)
    }

    /// The rows with this journal number, each with its index: two where a rule reads `admin` and the log that feeds it.
    pub(crate) fn numbered(&self, number: u64) -> &[(u64, u32)] {
        let numbers = self.numbers.get_or_init(|| {
            let mut numbers: Vec<(u64, u32)> = (0..).zip(self.rows).map(|(index, row)| (row.seq, index)).collect();
            numbers.sort_unstable();
            numbers
        });
        let from = numbers.partition_point(|(seq, _)| *seq < number);
        let rest = numbers.get(from..).unwrap_or_default();
        let count = rest.iter().take_while(|(seq, _)| *seq == number).count();
        rest.get(..count).unwrap_or_default()
    }
}

/// What calls the rules.
pub(crate) trait Judge {
    /// Shows a run to the rules of the reader. Those that stop are taken off `members`.
    fn judge(&mut self, members: &mut Vec<usize>, run: &Run<'_>) -> Result<(), StoreError>;
}

#[derive(Debug)]
pub(crate) struct Reader {
    /// As the rules name them, sorted.
    pub(crate) logs: Vec<Arc<str>>,
    /// Which marks it waits for.
    pub(crate) basis: Basis,
    /// Indices of the rules.
    pub(crate) members: Vec<usize>,
    queues: Vec<Queue>,
    /// One of the logs has two feeds, of which one is shown for any time.
    is_fed: bool,
    marks: Marks,
    watermark: i64,
    /// Read, and released as far as called.
    position: Position,
    /// Released and not yet called.
    run: Vec<RowRef>,
    /// The watermark has risen since the last call.
    risen: bool,
    /// How it has risen since everything released was shown: to what (ms), and with the entry of which number.
    steps: Vec<(i64, u64)>,
    /// Rows that are released and wait to be called with, at most.
    most_rows: usize,
}

/// A run is as many calls' worth of rows: a rule that takes few of them is called once for all. (What it costs is that so many
/// rows are offered at once; beyond this little is gained.)
const CALLS: usize = 4;

impl Reader {
    /// A reader at a position, with what was pending there: of its logs everything up to the position's number that the store
    /// has at or above the time last released, and the marks. More is left out. A call shows `call_rows` rows at most.
    pub(crate) fn rebuild(
        logs: Vec<Arc<str>>,
        basis: Basis,
        position: Position,
        stored: &[StoredAdmission],
        plan: &Plan,
        call_rows: usize,
    ) -> Self {
        let mut reader = Reader {
            queues: logs.iter().map(|_| Queue::default()).collect(),
            is_fed: logs.iter().any(|log| marks::is_fed(log)),
            marks: Marks::of(&logs),
            logs,
            basis,
            members: Vec::new(),
            watermark: i64::MIN,
            position,
            run: Vec::new(),
            risen: true,
            steps: Vec::new(),
            most_rows: call_rows.max(1).saturating_mul(CALLS),
        };
        let ended = Key::end_of(reader.position.released.time);
        if reader.position.released == ended {
            reader.watermark = ended.time;
        }
        // How far live is comes first. A store leaves out what a later mark says more of, and to a rule that waits for history a
        // `stalled` mark means that history is over unless live is known to be ahead of it.
        let marks = || stored.iter().flat_map(|admission| &admission.marks);
        for mark in marks().filter(|mark| matches!(mark, Mark::Live { .. })) {
            reader.marks.apply(mark);
        }
        for admission in stored {
            let mut sheet = Sheet::stored(admission, reader.position.released.time);
            let released = reader.position.released.clone();
            reader.take(&mut sheet, plan, &released, 0);
            for mark in &admission.marks {
                reader.mark(mark);
            }
        }
        reader
    }

    /// The journal number read.
    pub(crate) fn seq(&self) -> u64 {
        self.position.seq
    }

    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// Up to when rows have been released.
    pub(crate) fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Pages of another plan are read anew.
    pub(crate) fn adopt(&mut self, plan: &Plan, adopted: &mut Adopted) {
        self.queues.iter_mut().for_each(|queue| queue.adopt(plan, adopted));
    }

    /// The pages whose rows wait.
    pub(crate) fn pages(&self, found: &mut Vec<Arc<Page>>) {
        self.queues.iter().for_each(|queue| queue.pages(found));
    }

    /// Whether it is a reader of these logs at this position.
    pub(crate) fn stands(&self, logs: &[Arc<str>], basis: Basis, position: &Position) -> bool {
        self.logs == logs && self.basis == basis && self.position == *position
    }

    /// How many rows wait.
    pub(crate) fn pending(&self) -> usize {
        self.queues.iter().map(Queue::len).sum()
    }

    /// Whether two readers have come equally far in the same logs. Then what waits in them is equal too.
    pub(crate) fn is_level_with(&self, other: &Reader) -> bool {
        self.position == other.position
            && self.logs == other.logs
            && self.basis == other.basis
            && self.watermark == other.watermark
    }

    /// Reads one entry. Calls are made where they must be cut; what is left waits for [`Reader::finish`].
    pub(crate) fn feed(
        &mut self,
        admission: &Admission,
        sheet: &mut Sheet<'_>,
        plan: &Plan,
        judge: &mut impl Judge,
    ) -> Result<(), StoreError> {
        if admission.last_seq() <= self.position.seq || self.members.is_empty() {
            return Ok(());
        }
        // What a restart found released and not yet shown comes first.
        self.release(judge)?;
        let ahead = self.front();
        let late = self.take(sheet, plan, &ahead, self.position.seq);
        if !late.is_empty() {
            self.finish(judge)?;
            self.late(late, admission, judge)?;
        }
        self.position.seq = admission.last_seq();
        for mark in &admission.marks {
            if self.mark(mark) {
                self.steps.push((self.watermark, self.position.seq));
                self.release(judge)?;
            }
        }
        Ok(())
    }

    /// Calls the rules with what is released, and so brings them level with what was read.
    pub(crate) fn finish(&mut self, judge: &mut impl Judge) -> Result<(), StoreError> {
        self.release(judge)?;
        if !self.risen && self.run.is_empty() {
            return Ok(());
        }
        self.call(self.watermark, self.front(), judge)?;
        self.steps.clear();
        Ok(())
    }

    /// The key up to which rows have been released, shown or about to be.
    fn front(&self) -> Key {
        if self.watermark == i64::MIN {
            Key::start()
        } else {
            Key::end_of(self.watermark)
        }
        .max(self.position.released.clone())
    }

    /// Puts rows past the number `read` into the queues, and returns those that come too late for one who has released up to
    /// `released`.
    fn take(&mut self, sheet: &mut Sheet<'_>, plan: &Plan, released: &Key, read: u64) -> Vec<RowRef> {
        let mut late = Vec::new();
        for (log, queue) in self.logs.iter().zip(&mut self.queues) {
            if Marks::may_feed(sheet.log, log) {
                let rows = sheet.rows(plan, log);
                let (behind, ahead) = rows.split_at(rows.partition_point(|row| queue::is_late(row, released)));
                let unread = |row: &&RowRef| row.seq > read;
                let marks = &self.marks;
                late.extend(behind.iter().filter(unread).filter(|row| is_shown(marks, row)).cloned());
                // Rows of both feeds wait: which of them count is known by the time they may be released.
                queue.take(ahead.iter().filter(unread).cloned());
            }
        }
        late
    }

    fn mark(&mut self, mark: &Mark) -> bool {
        self.marks.apply(mark);
        match self.marks.watermark(&self.logs, self.basis) {
            Some(watermark) if watermark > self.watermark => {
                self.watermark = watermark;
                self.risen = true;
                true
            }
            _ => false,
        }
    }

    fn release(&mut self, judge: &mut impl Judge) -> Result<(), StoreError> {
        while self.next() {
            if self.run.len() >= self.most_rows {
                let Some(last) = self.run.last() else { continue };
                let (time, released) = (last.time(), queue::key(last));
                self.call(time.saturating_sub(1), released, judge)?;
                // The watermark itself has not been told yet.
                self.risen = true;
            }
        }
        Ok(())
    }

    /// Takes the next rows of one log up to the watermark into the run. False: there are none.
    fn next(&mut self) -> bool {
        let (mut first, mut second): (Option<(usize, &RowRef)>, Option<&RowRef>) = (None, None);
        for (index, queue) in self.queues.iter().enumerate() {
            let Some(row) = queue.front() else { continue };
            if first.is_none_or(|(_, first)| queue::order(row, first).is_lt()) {
                second = first.map(|(_, row)| row);
                first = Some((index, row));
            } else if second.is_none_or(|second| queue::order(row, second).is_lt()) {
                second = Some(row);
            }
        }
        let Some((index, _)) = first else { return false };
        let most = self.most_rows.saturating_sub(self.run.len());
        let queue = self.queues.get(index);
        let count = queue.map_or(0, |queue| queue.due(self.watermark, second, most));
        if let Some(queue) = self.queues.get_mut(index) {
            let marks = &self.marks;
            let rows = queue.release(count);
            if self.is_fed {
                self.run.extend(rows.filter(|row| is_shown(marks, row)));
            } else {
                self.run.extend(rows);
            }
        }
        count > 0
    }

    fn call(&mut self, watermark: i64, released: Key, judge: &mut impl Judge) -> Result<(), StoreError> {
        let to = Position {
            seq: self.position.seq,
            released,
        };
        let run = Run::new(&self.run, watermark, &self.position, &to, Some(&self.steps));
        judge.judge(&mut self.members, &run)?;
        self.run.clear();
        self.risen = false;
        self.position = to;
        Ok(())
    }

    fn late(&mut self, mut rows: Vec<RowRef>, admission: &Admission, judge: &mut impl Judge) -> Result<(), StoreError> {
        rows.sort_by(queue::order);
        rows.iter_mut().for_each(|row| row.late = true);
        let last = admission.first_seq + admission.events.len() as u64 - 1;
        let to = Position {
            seq: last,
            released: self.position.released.clone(),
        };
        let run = Run::new(&rows, self.watermark, &self.position, &to, None);
        judge.judge(&mut self.members, &run)?;
        self.position = to;
        Ok(())
    }
}

/// Of a log with two feeds, whether the row is of the one that counts for its time.
fn is_shown(marks: &Marks, row: &RowRef) -> bool {
    marks.is_fed_by(row.page.duo_log(), row.page.log(), row.time())
}
