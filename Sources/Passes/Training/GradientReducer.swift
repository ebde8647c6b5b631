package import Models

/// Combines the gradients of an update after they were computed and before they are used.
///
/// Windows are added in order first, so that the number of threads changes nothing. The sums then pass
/// through here, exactly once per update. A run on several machines adds their sums here.
package protocol GradientReducer: Sendable {
  /// Completes the gradients of an update: turns sums over this process's windows into sums over all windows.
  ///
  /// - Parameter gradients: The gradients, layer by layer.
  /// - Throws: Errors of the communication between machines.
  func reduce(_ gradients: inout [LayerGradients]) throws
  /// Completes the loss of an update in the same way.
  func reduce(_ loss: inout RilqLoss) throws
}

/// The reducer of a single process, whose sums are already complete.
package struct LocalGradients: GradientReducer {
  /// Adds nothing.
  package init() {}

  package func reduce(_ gradients: inout [LayerGradients]) {}
  package func reduce(_ loss: inout RilqLoss) {}
}

extension [LayerGradients] {
  /// Adds the gradients of windows in order.
  mutating func add(_ windows: some Sequence<[LayerGradients]>) {
    for window in windows {
      for index in indices { self[index].add(window[index]) }
    }
  }
}
