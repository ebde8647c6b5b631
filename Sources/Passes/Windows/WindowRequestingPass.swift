/// A pass that can read windows which the run's original model generates.
protocol WindowRequestingPass: Pass {
  /// The windows that it reads; nil for none.
  var windowSource: WindowSource? { get }
  /// The windows to request from that model; nil for none. By default these are all that it reads.
  var requestedWindows: WindowSource? { get }
}

extension WindowRequestingPass {
  var requestedWindows: WindowSource? { windowSource }
}

extension Sequence<PassOptions> {
  /// The windows that these passes request from the original model of the first of them.
  var requestedWindows: [WindowSource] {
    prefix { !$0.pass.effect.replacesOriginal }.compactMap {
      ($0.pass as? any WindowRequestingPass)?.requestedWindows
    }
  }
}
