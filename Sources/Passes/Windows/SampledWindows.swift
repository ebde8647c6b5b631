import Checkpoints
import Kernels
import Models

/// Windows that the original model generates.
///
/// A window begins with the begin token and is sampled at temperature 1. After a token that ends a text,
/// another text begins. Window `n` depends only on the model, the seed, the precision of products, and `n`; a
/// shorter window `n` is its beginning. Each window is therefore generated once in a run and its resumption, in
/// the greatest length that a pass requests. All passes' windows are generated together, because the weights
/// are then read once for all of them. Several processes share the windows to generate.
struct SampledWindows {
  /// The name of the file in the work folder.
  static let name = SampledWindowFile.name
  private let original: Checkpoint
  private let work: WorkFiles?
  private let later: [WindowSource]
  private let group: any ProcessGroup
  private let progress: ProgressHandler

  /// - Parameters:
  ///   - original: The model that generates windows.
  ///   - work: The folder where they are kept; nil keeps none.
  ///   - later: The windows that later passes request from the same model.
  ///   - group: The processes that share the windows to generate.
  ///   - progress: Called as windows are generated.
  init(
    of original: Checkpoint, _ work: WorkFiles? = nil, later: [WindowSource] = [],
    group: any ProcessGroup = SingleProcess(), progress: @escaping ProgressHandler
  ) {
    self.original = original
    self.work = work
    self.later = later
    self.group = group
    self.progress = progress
  }

  /// Returns the generated windows of a source, read from the file if it has them.
  ///
  /// - Throws: `ModelError` when the model has no begin token or its context is too short; `FormatError`.
  func windows(_ source: WindowSource) throws -> [[Int32]] {
    var known = try work.map { try SampledWindowFile(path: $0.path(Self.name)).windows() } ?? [:]
    let windows = windows(of: source)
    if !windows.allSatisfy({ known[$0, default: []].count >= source.length }) {
      for (window, tokens) in try generate(missing(from: known, source), source.products) {
        known[window] = tokens
      }
      if let work {
        try SampledWindowFile(path: work.path(Self.name)).write(known)
        work.keep(Self.name)
      }
    }
    return windows.map { Array(known[$0, default: []].prefix(source.length)) }
  }

  private func windows(of source: WindowSource) -> [SampledWindow] { source.sampledWindows(of: original) }

  /// Returns the windows of the source and of later passes with the same precision that are not known, with
  /// their lengths, in order.
  private func missing(
    from known: [SampledWindow: [Int32]], _ source: WindowSource
  ) -> [(window: SampledWindow, length: Int)] {
    let precision = source.products.onThisProcessor
    return ([source] + later.filter { $0.products.onThisProcessor == precision })
      .sampledLengths(of: original)
      .filter { window, length in known[window, default: []].count < length }
      .map { ($0.key, $0.value) }.sorted { $0.window < $1.window }
  }

  private func generate(
    _ requests: [(window: SampledWindow, length: Int)], _ products: ProductOperands
  ) throws -> [(window: SampledWindow, tokens: [Int32])] {
    let boundaries = try TextBoundaries(of: original)
    guard let begin = boundaries.beginToken else {
      throw ModelError.noToken(path: original.path, "token that begins a text, which 'sampled' needs")
    }
    var model = try Transformer(original)
    model.operands = products
    let sequences = requests.map { request in
      SampledSequence(
        SamplingOptions(seed: request.window.seed), stream: request.window.index, length: request.length)
    }
    let own = Array(sequences[group.share(of: sequences.count)])
    let shape = SampleShape(
      beginToken: begin, endTokens: boundaries.endTokens, length: requests.map(\.length).max() ?? 2,
      ending: .goesOn)
    let tokens = own.isEmpty ? [] : try model.samples(own, shape, progress: progress)
    // Every window has the requested length.
    var all = try group.gathered(tokens.joined().map { Double($0) })[...]
    return requests.map { request in
      defer { all = all.dropFirst(request.length) }
      return (request.window, all.prefix(request.length).map { Int32($0) })
    }
  }
}

extension WindowSource {
  /// The windows that a model generates for it.
  fileprivate func sampledWindows(of original: Checkpoint) -> [SampledWindow] {
    (0..<sampledCount).map {
      SampledWindow(model: original.path, products: products.onThisProcessor, seed: seed, index: $0)
    }
  }
}

extension [WindowSource] {
  /// The windows that a model generates for some passes, each with the greatest length that is asked for.
  func sampledLengths(of original: Checkpoint) -> [SampledWindow: Int] {
    reduce(into: [:]) { lengths, source in
      for window in source.sampledWindows(of: original) {
        lengths[window] = Swift.max(lengths[window, default: 0], source.length)
      }
    }
  }
}
