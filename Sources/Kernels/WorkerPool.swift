internal import CKernels
import Dispatch
import Synchronization

/// Threads that stay between parallel regions.
///
/// A thread that has ended its part of a region looks for the next one for some microseconds before it
/// sleeps, because a token or a layer takes many short regions, and waking a thread takes longer than some of
/// them. With more threads than processors nobody looks: they would take the processor from each other.
///
/// The pool serves one region at a time; other regions have to start threads of their own.
final class WorkerPool: Sendable {
  /// The pool of this process.
  static let shared = WorkerPool()

  /// How often a thread looks for work before it sleeps; about 50 microseconds.
  private static let looks = 1_000

  private struct Job {
    let body: @Sendable () -> Void
    let override: Int?
  }

  private struct State {
    /// What threads may take part in; nil between regions.
    var job: Job?
    /// How many more threads may.
    var places = 0
    var threadCount = 0
    var sleeperCount = 0
    /// Whether the owner of the region sleeps until the last thread is out.
    var isOwnerWaiting = false
  }

  private let state = Mutex(State())
  /// Whether a region is served.
  private let isBusy = Atomic<Bool>(false)
  /// The number of regions so far; changes only under the lock.
  private let regionCount = Atomic<Int>(0)
  /// The number of threads in the region, without its owner; changes only under the lock.
  private let running = Atomic<Int>(0)
  private let wake = DispatchSemaphore(value: 0)
  private let finished = DispatchSemaphore(value: 0)

  /// Runs `body` on several threads at once, including the caller's, and waits.
  ///
  /// - Parameters:
  ///   - count: The number of threads.
  ///   - override: The thread limit of the caller's task, if it has one.
  ///   - body: What every thread runs.
  /// - Returns: Whether it ran; false, at once, while the pool serves another region.
  func run(onThreads count: Int, override: Int?, _ body: @Sendable () -> Void) -> Bool {
    guard isBusy.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else {
      return false
    }
    withoutActuallyEscaping(body) { body in
      open(Job(body: body, override: override), places: count - 1)
      body()
      close()
    }
    isBusy.store(false, ordering: .releasing)
    return true
  }

  /// Lets threads take part in a job; starts and wakes those that are missing.
  private func open(_ job: Job, places: Int) {
    let (missing, sleeping) = state.withLock { state in
      let missing = max(0, places - state.threadCount)
      let sleeping = min(state.sleeperCount, places)
      state.job = job
      state.places = places
      state.threadCount += missing
      state.sleeperCount -= sleeping
      regionCount.wrappingAdd(1, ordering: .releasing)
      return (missing, sleeping)
    }
    for _ in 0..<missing {
      // A serial queue gets a thread of its own.
      DispatchQueue(label: "rilq.worker").async { [self] in serve() }
    }
    for _ in 0..<sleeping { wake.signal() }
  }

  /// Lets no more threads in, and waits for those that are.
  private func close() {
    let mayLook = state.withLock { state in
      state.job = nil
      state.places = 0
      return state.threadCount < coreCount
    }
    if look(while: { running.load(ordering: .acquiring) > 0 }, mayLook) { return }
    let waits = state.withLock { state in
      state.isOwnerWaiting = running.load(ordering: .acquiring) > 0
      return state.isOwnerWaiting
    }
    if waits { finished.wait() }
  }

  /// Takes part in one region after the other, without an end.
  private func serve() {
    while true {
      let seen = regionCount.load(ordering: .acquiring)
      takePart()
      let mayLook = state.withLock { $0.threadCount < coreCount }
      if look(while: { regionCount.load(ordering: .acquiring) == seen }, mayLook) { continue }
      let sleeps = state.withLock { state in
        guard regionCount.load(ordering: .relaxed) == seen else { return false }
        state.sleeperCount += 1
        return true
      }
      if sleeps { wake.wait() }
    }
  }

  /// Runs the job if there is one with a free place.
  private func takePart() {
    guard runJob() else { return }
    // The job is released here, so its owner may end it. Whether the owner waits is decided under the lock: a
    // thread that stops before it asks must not wake the owner of a later region.
    let wakesOwner = state.withLock { state in
      let isLast = running.wrappingSubtract(1, ordering: .releasing).newValue == 0
      guard isLast, state.isOwnerWaiting else { return false }
      state.isOwnerWaiting = false
      return true
    }
    if wakesOwner { finished.signal() }
  }

  @inline(never)
  private func runJob() -> Bool {
    let job = state.withLock { state -> Job? in
      // A thread without a place must not even hold the job for a moment: its owner may be ending it.
      guard state.places > 0, let job = state.job else { return nil }
      state.places -= 1
      running.wrappingAdd(1, ordering: .relaxed)
      return job
    }
    guard let job else { return false }
    ThreadLimit.with(override: job.override, job.body)
    return true
  }

  /// Looks at a condition for a while.
  ///
  /// - Returns: Whether it has ended.
  private func look(while condition: () -> Bool, _ mayLook: Bool) -> Bool {
    for _ in 0..<(mayLook ? Self.looks : 1) {
      if !condition() { return true }
      ck_pause()
    }
    return false
  }
}
