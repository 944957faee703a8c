//! Rows by number, in pages.

use std::{marker::PhantomData, sync::Arc};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
    ser::SerializeSeq,
};

use crate::persistent::{rows_of, work};

/// A vector whose clone shares its pages. It only grows.
#[derive(Debug, Clone)]
pub(crate) struct Pages<T> {
    /// Each of [`Self::ROWS`] rows.
    full: Vec<Arc<[T]>>,
    /// What does not fill a page yet.
    last: Vec<T>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { full: Vec::new(), last: Vec::new() }
    }
}

impl<T> Pages<T> {
    const ROWS: usize = rows_of(size_of::<T>());

    pub(crate) fn len(&self) -> usize {
        self.full.len() * Self::ROWS + self.last.len()
    }

    #[inline]
    pub(crate) fn get(&self, row: usize) -> Option<&T> {
        work::count(1);
        match self.full.get(row / Self::ROWS) {
            Some(page) => page.get(row % Self::ROWS),
            None => self.last.get(row - self.full.len() * Self::ROWS),
        }
    }

    pub(crate) fn push(&mut self, row: T) {
        self.last.push(row);
        if self.last.len() == Self::ROWS {
            self.full.push(std::mem::take(&mut self.last).into());
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.full.iter().flat_map(|page| page.iter()).chain(&self.last).inspect(|_| work::count(1))
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl<T: Clone> Pages<T> {
    /// To change a row. Where its page is shared it is copied first.
    pub(crate) fn get_mut(&mut self, row: usize) -> Option<&mut T> {
        work::count(1);
        let full = self.full.len();
        match self.full.get_mut(row / Self::ROWS) {
            Some(page) => Arc::make_mut(page).get_mut(row % Self::ROWS),
            None => self.last.get_mut(row - full * Self::ROWS),
        }
    }

    /// To change certain rows: of pages without any nothing is copied.
    pub(crate) fn change_those(&mut self, which: impl Fn(&T) -> bool + Copy) -> impl Iterator<Item = &mut T> {
        let full = self.full.iter_mut().filter(move |page| page.iter().any(which));
        let rows = full.flat_map(|page| Arc::make_mut(page).iter_mut()).chain(&mut self.last);
        rows.filter(move |row| which(row))
    }

    /// The row of a number, made where it is new, as are those before it.
    pub(crate) fn get_or_grow(&mut self, row: usize, new: &T) -> Option<&mut T> {
        while self.len() <= row {
            self.push(new.clone());
        }
        self.get_mut(row)
    }
}

impl<T> FromIterator<T> for Pages<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        let mut pages = Self::default();
        rows.into_iter().for_each(|row| pages.push(row));
        pages
    }
}

impl<T: Serialize> Serialize for Pages<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut rows = serializer.serialize_seq(Some(self.len()))?;
        self.iter().try_for_each(|row| rows.serialize_element(row))?;
        rows.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Pages<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rows<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Rows<T> {
            type Value = Pages<T>;

            fn expecting(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str("rows")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Pages<T>, A::Error> {
                let mut pages = Pages::default();
                while let Some(row) = rows.next_element()? {
                    pages.push(row);
                }
                Ok(pages)
            }
        }
        deserializer.deserialize_seq(Rows(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_stays_as_it_was_and_shares_every_page_that_did_not_change() {
        let rows = 10 * Pages::<u32>::ROWS as u32 + 7;
        let mut pages: Pages<u32> = (0..rows).collect();
        let before = pages.clone();
        *pages.get_mut(5).unwrap() = 99;
        pages.push(rows);
        assert_eq!((before.len(), pages.len()), (rows as usize, rows as usize + 1));
        assert!(before.iter().copied().eq(0..rows));
        assert_eq!((before.get(5), pages.get(5), pages.get(6)), (Some(&5), Some(&99), Some(&6)));
        let shared = before.full.iter().zip(&pages.full).filter(|(one, other)| Arc::ptr_eq(one, other));
        assert_eq!(shared.count(), 9);
        assert_eq!((pages.get(rows as usize), pages.get(rows as usize + 1)), (Some(&rows), None));
        assert_eq!(pages.get(usize::MAX), None);
        let bytes = postcard::to_stdvec(&pages).unwrap();
        assert_eq!(bytes, postcard::to_stdvec(&pages.iter().collect::<Vec<_>>()).unwrap(), "as a vector is written");
        assert!(postcard::from_bytes::<Pages<u32>>(&bytes).unwrap().iter().eq(pages.iter()));
    }
}
