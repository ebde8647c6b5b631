import Checkpoints
import Foundation

extension ErrorAnalysis {
  /// Returns the file names of the plots of an analysis.
  ///
  /// - Parameter hasText: Whether the models read a text.
  /// - Returns: Names of files.
  package static func plotNames(hasText: Bool) -> [String] {
    ["spectrum.svg", "energy.svg"] + (hasText ? ["output-error.svg", "activations.svg"] : [])
  }

  /// The plots, in the order of their names.
  private var plots: [LinePlot] {
    [spectrumPlot, energyPlot] + (layers.isEmpty ? [] : [outputErrorPlot, activationPlot])
  }

  /// Checks before a long run that the plots can be written.
  ///
  /// - Throws: `FormatError` when a plot exists and must not be replaced, or the folder is a file.
  package static func requirePlace(for names: [String], in folder: String, force: Bool) throws {
    switch try FileSystem.kind(of: folder) {
    case nil: return
    case .folder: break
    default: throw FormatError(folder, .system("is no folder"))
    }
    for name in names where !force {
      let path = FileSystem.join(folder, name)
      guard try FileSystem.kind(of: path) == nil else { throw FormatError(path, .exists) }
    }
  }

  /// Writes the plots into a folder, which is created if it is missing.
  ///
  /// - Throws: `FormatError` when a plot cannot be written.
  package func writePlots(to folder: String) throws {
    if try FileSystem.kind(of: folder) == nil { try FileSystem.createFolder(folder) }
    for (name, plot) in zip(Self.plotNames(hasText: !layers.isEmpty), plots) {
      try plot.write(to: FileSystem.join(folder, name))
    }
  }

  private var spectrumPlot: LinePlot {
    LinePlot(
      title: "Singular values of the quantization error, of the largest",
      xLabel: "number", yLabel: "singular value",
      series: kinds.map { kind in
        let values = kind.means { linear in
          linear.singularValues.map { $0 / max(linear.singularValues[0], .leastNormalMagnitude) }
        }
        return LinePlot.Series(
          name: kind.name, points: values.enumerated().map { (x: Double($0.offset + 1), y: $0.element) })
      })
  }

  private var energyPlot: LinePlot {
    LinePlot(
      title: "Share of the squared error that a rank holds", xLabel: "rank", yLabel: "share",
      series: kinds.map { kind in
        LinePlot.Series(
          name: kind.name,
          points: kind.energyByRank.enumerated().map { (x: Double($0.offset), y: $0.element) })
      })
  }

  /// The x axis spaces ranks by their position in the list, since each is twice the previous one.
  private var outputErrorPlot: LinePlot {
    func series(_ name: String, _ values: [Double]) -> LinePlot.Series {
      LinePlot.Series(
        name: name, points: values.enumerated().map { (x: Double($0.offset), y: $0.element) },
        hasMarkers: true)
    }
    var all = [
      series("svd", all.means { $0.outputs?.svd ?? [] }),
      series("qera", all.means { $0.outputs?.qera ?? [] }),
    ]
    if let adapted {
      let rank = adapted.mean { Double($0.adapter?.rank ?? 1) }
      let error = adapted.mean { $0.adapter?.relativeOutputError ?? 0 }
      all.append(
        LinePlot.Series(
          name: "adapter", points: [(x: min(log2(rank) + 1, Double(commonRanks.count - 1)), y: error)],
          hasMarkers: true))
    }
    return LinePlot(
      title: "Error of linears' outputs", xLabel: "rank", yLabel: "relative error", series: all,
      xTicks: commonRanks.enumerated().map { (value: Double($0.offset), label: "\($0.element)") })
  }

  private var activationPlot: LinePlot {
    LinePlot(
      title: "Distance of the residual stream from the original's", xLabel: "after layer",
      yLabel: "relative error",
      series: [
        LinePlot.Series(
          name: "residual stream", points: layers.enumerated().map { (x: Double($0.offset), y: $0.element) },
          hasMarkers: true)
      ])
  }
}
