//! Documents of discovery and OpenAPI, made once for each state of the definitions: they are as large as all definitions together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use palisade_api::registry::Registry;

/// The documents of the newest definitions.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    made: Mutex<Made>,
    /// Held while one is made, so that those who ask for the same one meanwhile wait for it.
    making: Mutex<()>,
}

#[derive(Debug, Default)]
struct Made {
    of: Option<Arc<Registry>>,
    texts: HashMap<String, Bytes>,
}

fn hold<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Documents {
    /// A document that is made already.
    pub(crate) fn kept(&self, registry: &Arc<Registry>, name: &str) -> Option<Bytes> {
        let made = hold(&self.made);
        let is_of = made.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, registry));
        made.texts.get(name).filter(|_| is_of).cloned()
    }

    /// The text of a document, made if it has to be; none if there is none.
    pub(crate) fn make(
        &self,
        registry: &Arc<Registry>,
        name: &str,
        make: impl FnOnce(&Registry) -> Option<Vec<u8>>,
    ) -> Option<Bytes> {
        let _making = hold(&self.making);
        if let Some(bytes) = self.kept(registry, name) {
            return Some(bytes);
        }
        let bytes = Bytes::from(make(registry)?);
        let mut made = hold(&self.made);
        if !made.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, registry)) {
            *made = Made { of: Some(Arc::clone(registry)), texts: HashMap::new() };
        }
        made.texts.insert(name.to_owned(), bytes.clone());
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_made_once_for_each_state() {
        let (documents, mut count) = (Documents::default(), 0);
        let states = [(); 2].map(|()| Arc::new(Registry::default()));
        let mut ask = |state: usize, name: &str| {
            let made = documents.make(&states[state], name, |_| {
                count += 1;
                (name != "missing").then(|| count.to_string().into_bytes())
            });
            made.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        let answers = [(0, "a"), (0, "a"), (0, "b"), (1, "a"), (1, "a"), (1, "missing"), (0, "a")];
        let answers = answers.map(|(state, name)| ask(state, name).unwrap_or_default());
        assert_eq!(answers, ["1", "1", "2", "3", "3", "", "5"]);
    }
}
