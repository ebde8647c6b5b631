import Models

extension ErrorAnalysis {
  /// The rank at which the report compares methods per kind: 16, or less if linears are small.
  private var shownRank: Int { commonRanks.last { $0 <= 16 } ?? 0 }

  /// The report as text: one line per kind of linear, the output error by rank, and one line per layer.
  package var text: String {
    var lines = kindTable.text
    if layers.isEmpty { return lines.joined(separator: "\n") }
    lines += [""] + rankTable.text + [""] + layerTable.text
    return lines.joined(separator: "\n")
  }

  private var kindTable: TextTable {
    let shares = LinearErrors.energyShares.map { "\(Int(100 * $0)) %" }
    let hasOutputs = !layers.isEmpty
    let outputs = hasOutputs ? ["output", "svd \(shownRank)", "qera \(shownRank)"] : []
    let adapters = adapted == nil ? [] : ["adapter"] + (hasOutputs ? ["its output"] : [])
    let head = ["linears", "", "error"] + shares + ["of"] + outputs + adapters
    var table = TextTable(rightAligned: [false] + [Bool](repeating: true, count: head.count - 1))
    table.add(head)
    for kind in kinds { table.add(cells(of: kind, hasOutputs: hasOutputs)) }
    return table
  }

  private func cells(of kind: Kind, hasOutputs: Bool) -> [String] {
    var cells = [kind.name, "\(kind.linears.count)", kind.mean(\.relativeError).formatted(decimals: 4)]
    cells += kind.means { $0.ranksForEnergy.map(Double.init) }.map { "\(Int($0.rounded()))" }
    cells.append("\(Int(kind.mean { Double($0.singularValues.count) }))")
    if hasOutputs, let position = commonRanks.firstIndex(of: shownRank) {
      let (svd, qera) = (kind.means { $0.outputs?.svd ?? [] }, kind.means { $0.outputs?.qera ?? [] })
      cells += [svd[0], svd[position], qera[position]].map { $0.formatted(decimals: 4) }
    }
    guard adapted != nil else { return cells }
    let withAdapter = Kind(name: kind.name, linears: kind.linears.filter { $0.adapter != nil })
    guard !withAdapter.linears.isEmpty else { return cells }
    cells.append(withAdapter.mean { $0.adapter?.relativeError ?? 0 }.formatted(decimals: 4))
    if hasOutputs {
      cells.append(withAdapter.mean { $0.adapter?.relativeOutputError ?? 0 }.formatted(decimals: 4))
    }
    return cells
  }

  private var rankTable: TextTable {
    var table = TextTable(rightAligned: [false] + commonRanks.map { _ in true })
    table.add(["output error at rank"] + commonRanks.map(String.init))
    for (name, values) in [
      ("svd of the weight's error", all.means { $0.outputs?.svd ?? [] }),
      ("qera", all.means { $0.outputs?.qera ?? [] }),
    ] {
      table.add([name] + values.map { $0.formatted(decimals: 4) })
    }
    return table
  }

  private var layerTable: TextTable {
    var table = TextTable(rightAligned: [false, true])
    table.add(["after layer", "error of the residual stream"])
    for (index, error) in layers.enumerated() { table.add(["\(index)", error.formatted(decimals: 4)]) }
    if let final { table.add(["final norm", final.formatted(decimals: 4)]) }
    return table
  }
}
