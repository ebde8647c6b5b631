package import Checkpoints
import Foundation
import Kernels
package import Models
import Passes

/// How often codes and values of tables occur in the packed weights of a checkpoint.
package struct TableHistograms: Sendable {
  /// The weights with one number of bits.
  package struct Width: Sendable {
    /// The bits of a code.
    package let bits: Int
    /// The number of occurrences of each code, `[2^bits]`.
    package fileprivate(set) var codes: [Int]
    /// The codes of each kind of linear, in the order of the file.
    package fileprivate(set) var kinds: [(name: String, codes: [Int])]
    /// The common logarithm of the magnitude of the groups' scales.
    package fileprivate(set) var scales: Histogram
    /// The position of zero among the codes, `-bias / scale`, for each group.
    package fileprivate(set) var zeros: Histogram
  }

  /// One entry per number of bits, the smallest first; at least one.
  package let widths: [Width]

  /// Reads the codes and tables of a checkpoint; nil when it has no packed weights.
  ///
  /// - Parameters:
  ///   - checkpoint: The checkpoint.
  ///   - progress: Called after each weight.
  /// - Throws: `FormatError` when a tensor is damaged.
  package init?(of checkpoint: Checkpoint, progress: ProgressHandler = { _ in }) throws {
    let modules = try checkpoint.logicalTensors().compactMap(\.packing?.module)
    guard !modules.isEmpty else { return nil }
    var widths: [Int: Width] = [:]
    for (index, module) in modules.enumerated() {
      guard let weight = try checkpoint.quantizedWeight(of: module) else { continue }
      let bits = weight.layout.bits
      widths[bits, default: Width(bits: bits)].add(weight, kind: ErrorGrid.kind(of: module))
      progress(Progress(phase: "read", completed: index + 1, total: modules.count, detail: module))
    }
    self.widths = widths.values.sorted { $0.bits < $1.bits }
  }
}

extension TableHistograms.Width {
  private static let zeroIntervals = 48
  /// Twenty for each power of ten.
  private static let scaleIntervals = 160
  private static let groupsPerChunk = 1 << 16

  fileprivate init(bits: Int) {
    self.init(
      bits: bits, codes: [Int](repeating: 0, count: 1 << bits), kinds: [], scales: Self.emptyScales,
      zeros: Self.emptyZeros(bits))
  }

  private static var emptyScales: Histogram { Histogram(over: -6...2, count: scaleIntervals) }

  private static func emptyZeros(_ bits: Int) -> Histogram {
    Histogram(over: -1...Double(1 << bits), count: zeroIntervals)
  }

  fileprivate mutating func add(_ weight: QuantizedWeight, kind: String) {
    let codes = CodeStatistics.histogram(of: weight.codes, bits: bits)
    self.codes = zip(self.codes, codes).map(+)
    if let index = kinds.firstIndex(where: { $0.name == kind }) {
      kinds[index].codes = zip(kinds[index].codes, codes).map(+)
    } else {
      kinds.append((kind, codes))
    }
    for part in Self.tables(of: weight) {
      scales.merge(part.scales)
      zeros.merge(part.zeros)
    }
  }

  private static func tables(of weight: QuantizedWeight) -> [(scales: Histogram, zeros: Histogram)] {
    let count = min(weight.scales.count, weight.biases.count)
    let chunks = stride(from: 0, to: count, by: groupsPerChunk).map { $0..<min($0 + groupsPerChunk, count) }
    return parallelMap(chunks.count) { index in
      var (scales, zeros) = (emptyScales, emptyZeros(weight.layout.bits))
      for group in chunks[index] where weight.scales[group] != 0 {
        let scale = Double(weight.scales[group])
        scales.add(log10(abs(scale)))
        zeros.add(-Double(weight.biases[group]) / scale)
      }
      return (scales, zeros)
    }
  }
}
