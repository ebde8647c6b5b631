/// A pass that can read windows which the run's original model generates.
protocol WindowRequestingPass: Pass {
  /// The windows to request; nil for none from that model.
  var requestedWindows: WindowSource? { get }
}

extension Sequence<PassOptions> {
  /// The windows that these passes request from the original model of the first of them.
  var requestedWindows: [WindowSource] {
    prefix { !$0.pass.effect.replacesOriginal }.compactMap {
      ($0.pass as? any WindowRequestingPass)?.requestedWindows
    }
  }
}
