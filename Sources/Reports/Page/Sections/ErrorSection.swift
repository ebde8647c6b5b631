import Models
import Passes

/// The quantization errors by layer and linear, and what an analysis of the output adds.
struct ErrorSection {
  private static let id = "errors"
  private static let title = "Error by layer and linear"
  let result: ReportedResult

  var section: PageSection {
    let body = maps + analysis
    guard !body.isEmpty else {
      let reason =
        result.conversion.passes.contains { $0.name == "quantize" }
        ? "The errors are not shown: the result was written without them."
        : "There are no errors: no pass quantized."
      return .absent(Self.id, Self.title, because: reason)
    }
    return PageSection(Self.id, Self.title, body)
  }

  private var maps: [HTMLNode] {
    result.conversion.passes.filter { !$0.errors.isEmpty }.flatMap { pass in
      [
        .paragraph(
          "The errors after \(pass.name), before any later pass: the norm of the difference from the original, "
            + "relative to the norm of the original.")
      ] + Self.nodes(pass.errors)
    }
  }

  private static func nodes(_ errors: [ModuleError]) -> [HTMLNode] {
    let weights = ErrorGrid(errors, \.weights)
    let outputs = ErrorGrid(errors, \.outputs)
    let others = errors.filter { ErrorGrid.layer(of: $0.module) == nil }
    let maps = [("weights", weights), ("outputs", outputs)].filter { $0.1.range != nil }
    var nodes: [HTMLNode] = []
    if !maps.isEmpty {
      nodes.append(
        .figures(
          maps.map { name, grid in
            .figure(
              "Error of the \(name)",
              HeatMap(title: "Error of the \(name)", unit: "relative error of the \(name)", grid: grid).node)
          }))
      nodes += maps.map { name, grid in
        .details("Errors of the \(name) as a table", [table("Relative errors of the \(name)", grid)])
      }
    }
    if outputs.range == nil {
      nodes.append(
        .paragraph(
          "Errors of outputs are not shown: no windows ran through the model, or its layers were trained.",
          class: "absent"))
    }
    if !others.isEmpty {
      nodes.append(
        .table(
          "Modules outside of the layers", heads: ["module", "error of the weights"],
          rows: others.map { [$0.module, $0.weights.formattedShort] }))
    }
    return nodes
  }

  private static func table(_ caption: String, _ grid: ErrorGrid) -> HTMLNode {
    .table(
      caption, heads: ["layer"] + grid.kinds,
      rows: zip(grid.layers, grid.values).map { layer, values in
        ["\(layer)"] + values.map { $0?.formattedShort ?? "" }
      })
  }

  private var analysis: [HTMLNode] {
    guard let analysis = result.analysis else { return [] }
    let spectra = analysis.spectra
    var figures: [HTMLNode] = []
    if !spectra.isEmpty {
      let series = spectra.map { spectrum in
        LinePlot.Series(
          name: spectrum.kind,
          points: spectrum.values.enumerated().map { (x: Double($0.offset + 1), y: $0.element) })
      }
      figures.append(
        Self.figure(
          "Singular values of the remaining error", x: "number of the singular value",
          y: "share of the largest", series))
    }
    if !analysis.layers.isEmpty {
      let points = analysis.layers.enumerated().map { (x: Double($0.offset), y: $0.element) }
      figures.append(
        Self.figure(
          "Distance of the residual stream from the original's", x: "after layer", y: "relative error",
          [LinePlot.Series(name: "residual stream", points: points, hasMarkers: true)]))
    }
    let errors = analysis.linears.map(\.error)
    return [.paragraph("The errors of the output itself, as 'rilq analyze' measured them:")]
      + Self.nodes(errors) + (figures.isEmpty ? [] : [.figures(figures)])
  }

  private static func figure(_ title: String, x: String, y: String, _ series: [LinePlot.Series]) -> HTMLNode {
    let plot = LinePlot(title: title, xLabel: x, yLabel: y, series: series, in: .page)
    let ends = series.map { $0.ends(joinedBy: " to ") }
    return .figure(
      title, .markup(plot.element(description: ends.joined(separator: "; "))), legend: series.map(\.name))
  }
}

/// The mean error of each layer of several results in one plot.
struct ComparedErrors {
  static let id = "compared-errors"
  static let title = "Error by layer compared"
  let results: [NamedResult]

  var section: PageSection {
    let grids = results.compactMap { result -> (name: String, grid: ErrorGrid)? in
      let errors = result.result.conversion.passes.map(\.errors).last { !$0.isEmpty }
      let grid = ErrorGrid(errors ?? [], \.weights)
      return grid.range == nil ? nil : (result.name, grid)
    }
    guard !grids.isEmpty else {
      return .absent(Self.id, Self.title, because: "None of the results has the errors of layers.")
    }
    let series = grids.map { name, grid in
      LinePlot.Series(
        name: name, points: zip(grid.layers, grid.layerMeans).map { (x: Double($0), y: $1) },
        hasMarkers: true)
    }
    let plot = LinePlot(
      title: "Mean error of the weights of each layer", xLabel: "layer", yLabel: "relative error",
      series: series, in: .page)
    let description = series.map { $0.ends(joinedBy: " in the first layer to ") }.joined(separator: "; ")
    let figure = HTMLNode.figure(
      "Mean error of the weights of each layer", .markup(plot.element(description: description)),
      legend: series.map(\.name))
    let layers = Set(grids.flatMap(\.grid.layers)).sorted()
    let rows = layers.map { layer in
      ["\(layer)"]
        + grids.map { _, grid in
          grid.layers.firstIndex(of: layer).map { grid.layerMeans[$0].formattedShort } ?? ""
        }
    }
    return PageSection(
      Self.id, Self.title,
      [
        figure,
        .details(
          "The errors as a table",
          [.table("Mean relative error of each layer", heads: ["layer"] + grids.map(\.name), rows: rows)]),
      ])
  }
}
