//! A bucket that is read.

use std::io::{self, Read};

use super::source::{Names, Source};
use crate::config::BucketUrl;
use crate::error::Error;
use crate::export::BucketOptions;
use crate::export::s3::{AwsVars, Bucket, BucketReader};

struct BucketSource {
    name: String,
    reader: BucketReader,
}

impl Source for BucketSource {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn names_in(&self, folder: &str) -> io::Result<Names> {
        let below = self.reader.below(folder)?;
        Ok(Names { folders: below.folders, objects: below.objects, strays: below.strays })
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.reader.open(name)?))
    }
}

/// Judges a bucket on a thread of its own: requests are waited for on a runtime, which no thread of an application's may do
/// that is one of a runtime.
pub(super) fn on_a_thread<T: Send + 'static>(
    url: BucketUrl,
    judge: fn(&dyn Source) -> Result<T, Error>,
) -> Result<T, Error> {
    let name = url.to_string();
    let bucket = Bucket::new(url, BucketOptions::default(), &AwsVars::of_process()?)?;
    let work = move || {
        let reader = BucketReader::new(bucket).map_err(|failure| Error::start(format!("{name}: {failure}")))?;
        judge(&BucketSource { name, reader })
    };
    let thread = std::thread::Builder::new().name("audit-verify".into()).spawn(work);
    let thread = thread.map_err(|error| Error::start("cannot start a thread").with_source(error))?;
    thread.join().unwrap_or_else(|_| Err(Error::start("the check of the bucket panicked")))
}
