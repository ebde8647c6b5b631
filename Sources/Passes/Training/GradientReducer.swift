package import Models

/// Where the gradients of an update come together after they were computed and before they are used.
///
/// Windows are added in their order first, so that the number of threads changes nothing. The sums then pass
/// here, exactly once for each update. What runs on several machines adds theirs here.
package protocol GradientReducer: Sendable {
  /// Completes the gradients of an update: from the sums over this process's windows to those over all.
  ///
  /// - Parameter gradients: Layer by layer.
  /// - Throws: What goes wrong between machines.
  func reduce(_ gradients: inout [LayerGradients]) throws
  /// Completes the loss of an update likewise.
  func reduce(_ loss: inout RilqLoss) throws
}

/// All windows are computed in this process: its sums are complete.
package struct LocalGradients: GradientReducer {
  /// Adds nothing.
  package init() {}

  package func reduce(_ gradients: inout [LayerGradients]) {}
  package func reduce(_ loss: inout RilqLoss) {}
}

extension [LayerGradients] {
  /// Adds the gradients of windows, in their order.
  mutating func add(_ windows: some Sequence<[LayerGradients]>) {
    for window in windows {
      for index in indices { self[index].add(window[index]) }
    }
  }
}
