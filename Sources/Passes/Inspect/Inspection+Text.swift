import Checkpoints
import Models

extension Inspection {
  /// The report as text: a summary, then the tensors by layer, or the requested tensors as a list.
  package var text: String {
    var lines = [summary.checkpoint.path.escapedForDisplay]
    if !isSelection {
      var table = TextTable(rightAligned: [false, false])
      for row in summary.rows { table.add([row.name, row.text], indent: 1) }
      lines += table.text + [""]
    }
    return (lines + tensorTable.text + statisticsText).joined(separator: "\n")
  }

  /// The report as Markdown.
  package var markdown: String {
    var lines = ["## \(summary.checkpoint.path.escapedForDisplay)", ""]
    if !isSelection {
      var table = TextTable(rightAligned: [false, false])
      for row in summary.rows { table.add([row.name, row.text]) }
      lines += table.markdown(head: ["", ""]) + [""]
    }
    lines += tensorTable.markdown(head: ["tensor", "stored as", "shape", "size"])
    if options.readsValues { lines += [""] + statisticsTable().markdown(head: Self.statisticsHead) }
    return lines.joined(separator: "\n")
  }

  private var isSelection: Bool { !options.patterns.isEmpty }

  /// The requested tensors one by one, or all tensors by layer.
  private var tensorTable: TextTable {
    var table = TextTable(rightAligned: [false, false, false, true])
    if isSelection {
      for tensor in tensors { Self.add(tensor, named: tensor.name, indent: 0, to: &table) }
    } else {
      Self.add(TensorTree(summary.tensors).entries, indent: 0, to: &table)
    }
    return table
  }

  private static func add(_ entries: [TensorTree.Entry], indent: Int, to table: inout TextTable) {
    for entry in entries {
      switch entry {
      case .tensor(let name, let tensor): add(tensor, named: name, indent: indent, to: &table)
      case .group(let group):
        let alike = group.indices.count > 1
        table.add(
          [
            group.name + (alike ? " (\(group.indices.count) alike)" : ""), "", "",
            group.byteCount.formattedBytes + (alike ? " each" : ""),
          ], indent: indent)
        add(group.entries, indent: indent + 1, to: &table)
      }
    }
  }

  private static func add(_ tensor: LogicalTensor, named name: String, indent: Int, to table: inout TextTable)
  {
    table.add([name, tensor.storage, "\(tensor.shape)", tensor.byteCount.formattedBytes], indent: indent)
  }
}

extension Inspection {
  private static let statisticsHead = [
    "tensor", "min", "max", "mean", "deviation", "zeros", "NaN", "infinite",
  ]
  /// Histograms with more codes than this are in JSON only.
  private static let histogramLimit = 16

  private var statisticsText: [String] {
    options.readsValues ? [""] + statisticsTable(startingWith: [Self.statisticsHead]).text : []
  }

  /// Returns one line per tensor whose values were read, followed by its codes' statistics.
  private func statisticsTable(startingWith lines: [[String]] = []) -> TextTable {
    var table = TextTable(
      rightAligned: [false] + [Bool](repeating: true, count: Self.statisticsHead.count - 1))
    for line in lines { table.add(line) }
    for (tensor, values) in zip(tensors, values) {
      let statistics = values.statistics
      let hasValues = statistics.finiteCount > 0
      table.add(
        [tensor.name]
          + [statistics.minimum, statistics.maximum, statistics.mean, statistics.deviation]
          .map { hasValues ? $0.formattedShort : "-" }
          + [statistics.zeroCount, statistics.nanCount, statistics.infiniteCount].map(\.formattedCount))
      if let codes = values.codes { Self.add(codes, to: &table) }
    }
    return table
  }

  private static func add(_ codes: CodeStatistics, to table: inout TextTable) {
    let total = Double(max(codes.histogram.reduce(0, +), 1))
    if codes.histogram.count <= histogramLimit {
      let shares = codes.histogram.map { (100 * Double($0) / total).formatted(decimals: 1) }
      table.add(["codes \(shares.joined(separator: " ")) %"], indent: 1)
    }
    if !codes.unusedCodes.isEmpty {
      table.add(["\(codes.unusedCodes.count) of \(codes.histogram.count) codes unused"], indent: 1)
    }
    table.add(
      ["scales", Double(codes.scales.minimum).formattedShort, Double(codes.scales.maximum).formattedShort],
      indent: 1)
    table.add(
      ["biases", Double(codes.biases.minimum).formattedShort, Double(codes.biases.maximum).formattedShort],
      indent: 1)
  }
}
