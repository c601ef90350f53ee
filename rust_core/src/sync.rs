//! What threads share: locks, atomics and threads, of the system or (feature `shuttle`) of a model checker.
//!
//! With the feature, the tests in `tests/rust/interleavings.rs` choose which thread goes on at each lock and each
//! atomic access, and try many orders. Besides, each thread counts the locks that it holds: what stands for a system call
//! expects that there is none. Nothing else differs.

#[cfg(not(feature = "shuttle"))]
mod chosen {
    pub(crate) use std::sync::atomic;
    pub use std::thread;

    pub use parking_lot::{Condvar, Mutex, MutexGuard};
}

#[cfg(feature = "shuttle")]
pub use chosen::{expect_no_lock, locks_held_over_calls};

#[cfg(feature = "shuttle")]
mod chosen {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::PoisonError;
    use std::sync::atomic::{AtomicUsize, Ordering};

    pub(crate) use shuttle::sync::atomic;
    pub use shuttle::thread;

    shuttle::thread_local! {
        /// How many locks this thread holds.
        static HELD: Cell<usize> = const { Cell::new(0) };
    }

    /// How often [`expect_no_lock`] found one.
    static HELD_OVER_CALLS: AtomicUsize = AtomicUsize::new(0);

    /// What would be a call to the system, or to the owner, begins: nobody is to wait for a lock until it is over.
    ///
    /// # Panics
    /// If this thread holds one. Whoever catches that is found by [`locks_held_over_calls`].
    pub fn expect_no_lock() {
        let held = HELD.with(Cell::get);
        if held != 0 && !std::thread::panicking() {
            HELD_OVER_CALLS.fetch_add(1, Ordering::SeqCst);
            panic!("{held} locks are held over a system call");
        }
    }

    /// How often that was so, in this process.
    #[must_use]
    pub fn locks_held_over_calls() -> usize {
        HELD_OVER_CALLS.load(Ordering::SeqCst)
    }

    fn note_held(change: isize) {
        HELD.with(|held| held.set(held.get().checked_add_signed(change).expect("no more let go than taken")));
    }

    /// A lock with the interface of `parking_lot`, which knows no poison.
    #[derive(Debug, Default)]
    pub struct Mutex<T>(shuttle::sync::Mutex<T>);

    /// Access to what a [`Mutex`] guards. `None` only while a [`Condvar`] waits.
    #[derive(Debug)]
    pub struct MutexGuard<'a, T>(Option<shuttle::sync::MutexGuard<'a, T>>);

    /// A way to wait for a change of what a [`Mutex`] guards.
    #[derive(Debug, Default)]
    pub struct Condvar(shuttle::sync::Condvar);

    impl<T> Mutex<T> {
        /// A free lock.
        pub fn new(value: T) -> Self {
            Self(shuttle::sync::Mutex::new(value))
        }

        /// Wait for the lock and take it.
        pub fn lock(&self) -> MutexGuard<'_, T> {
            let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            note_held(1);
            MutexGuard(Some(guard))
        }

        /// What it guards; nobody else can have it.
        pub fn get_mut(&mut self) -> &mut T {
            self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl<T> Drop for MutexGuard<'_, T> {
        fn drop(&mut self) {
            drop(self.0.take());
            note_held(-1);
        }
    }

    impl<T> Deref for MutexGuard<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.0.as_ref().expect("taken only during a wait")
        }
    }

    impl<T> DerefMut for MutexGuard<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            self.0.as_mut().expect("taken only during a wait")
        }
    }

    impl Condvar {
        /// Nobody waits.
        pub fn new() -> Self {
            Self::default()
        }

        /// Let go of the lock, wait to be notified, and take it again.
        pub fn wait<T>(&self, guard: &mut MutexGuard<'_, T>) {
            let held = guard.0.take().expect("taken only during a wait");
            note_held(-1);
            guard.0 = Some(self.0.wait(held).unwrap_or_else(PoisonError::into_inner));
            note_held(1);
        }

        /// Wake all who wait.
        pub fn notify_all(&self) {
            self.0.notify_all();
        }
    }
}

pub(crate) use chosen::atomic;
pub use chosen::{Condvar, Mutex, MutexGuard, thread};
