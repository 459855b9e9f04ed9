//! What was carried, for a terminal.

use std::fmt;

use understudy_flow::words;

use super::Export;

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "flow {}, sealed at e{}: what {} holds beyond the cut is put aside on {}\n",
            self.flow, self.epoch, self.source, self.target
        )?;
        let shown = || {
            let lines = self.partitions.iter();
            lines.filter(|line| line.tail_topic.is_some() || !line.notes().is_empty())
        };
        let wide = shown().map(|line| line.topic.chars().count()).max();
        let wide = wide.unwrap_or_default().max("topic".len());
        if shown().next().is_some() {
            writeln!(
                f,
                "{:wide$}  partition          from         up to      records   of this run  topic",
                "topic"
            )?;
        }
        for line in shown() {
            writeln!(
                f,
                "{:wide$}  {:>9}  {:>12}  {:>12}  {:>11}  {:>12}  {}",
                line.topic,
                line.partition,
                line.begins,
                line.source_offset,
                words::count(line.records),
                words::count(line.records_now),
                line.tail_topic.as_deref().unwrap_or("-"),
            )?;
            for note in line.notes() {
                writeln!(f, "    {note}")?;
            }
        }
        let records = words::counted(self.records, "record");
        let now = words::count(self.records_now);
        if self.merged > 0 || self.left_out > 0 {
            writeln!(
                f,
                "\n{} merged into the topics themselves; {} left out of them and put aside: a newer value of the key may be there, or the flow had not begun with the partition",
                words::counted(self.merged, "record"),
                words::count(self.left_out)
            )?;
        }
        if self.made_again > 0 {
            writeln!(
                f,
                "{} made again: somebody wrote keys of theirs before them, which were left out",
                words::counted(self.made_again, "transaction")
            )?;
        }
        if self.holds {
            writeln!(
                f,
                "\nit holds: {records} put aside, {now} of them by this run; all were read back and came to the same"
            )
        } else {
            writeln!(
                f,
                "\nIT DOES NOT HOLD: {records} put aside, {now} of them by this run; see above for what is not"
            )
        }
    }
}
