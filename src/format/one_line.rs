//! Formats of the application, held to one line a record.

use std::any::TypeId;

use super::{BackstageAuditor, Combined, Common, Csv, Format, Json, JsonTimestamp, KeyValue};
use crate::record::Record;

/// The format for an output. The library's own escape what ends a line; in lines of any other, line breaks are replaced.
pub(crate) fn boxed<F: Format>(format: F) -> Box<dyn Format> {
    let of_library = [
        TypeId::of::<Json>(),
        TypeId::of::<JsonTimestamp>(),
        TypeId::of::<KeyValue>(),
        TypeId::of::<Combined>(),
        TypeId::of::<Common>(),
        TypeId::of::<Csv>(),
        TypeId::of::<BackstageAuditor>(),
    ];
    if of_library.contains(&TypeId::of::<F>()) { Box::new(format) } else { Box::new(OneLine(format)) }
}

/// Replaces line breaks of a format by spaces: a record is one line, whatever the application makes of it.
struct OneLine<F>(F);

impl<F: Format> Format for OneLine<F> {
    fn header(&self) -> Option<String> {
        self.0.header()
    }

    fn accepts(&self, record: &Record<'_>) -> bool {
        self.0.accepts(record)
    }

    fn write(&mut self, record: &Record<'_>, out: &mut Vec<u8>) {
        let start = out.len();
        self.0.write(record, out);
        if memchr::memchr2(b'\n', b'\r', &out[start..]).is_some() {
            out[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')).for_each(|byte| *byte = b' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::line_fn;
    use crate::{Auditor, sink};

    #[test]
    fn a_format_of_the_application_makes_one_line_of_each_record() {
        let breaks =
            || line_fn(|record: &Record<'_>, line: &mut String| *line = format!("{}\r\nx\n", record.event_name()));
        let in_a_box: Box<dyn Format> = Box::new(breaks());
        let outputs = sink::memory();
        let boxes = sink::memory();
        let builder = Auditor::builder().sink(sink::Output::new(outputs.0).format(breaks()));
        drop(builder.sink(sink::Output::new(boxes.0).format(in_a_box)).build().unwrap());
        for records in [outputs.1, boxes.1] {
            assert_eq!(records.lines(), ["AuditStarted  x ", "AuditStopped  x "]);
        }
    }
}
