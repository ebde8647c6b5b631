import Passes

/// The style sheet of a report.
enum PageStyle {
  /// The rules; they have no character that XML would have to escape.
  static let css = rules + swatches

  private static let rules = """
    :root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--paper:#fff;--panel:#f6f8fa;--edge:#d0d7de;\
    --link:#0a58ca;--good:#116329;--bad:#a40e26;--grid:#c9d1d9}
    @media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9ba5b0;--paper:#0d1117;--panel:#161b22;\
    --edge:#3d444d;--link:#79b8ff;--good:#5bd575;--bad:#ff8a80;--grid:#3d444d}}
    *{box-sizing:border-box}
    body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif;\
    overflow-wrap:anywhere}
    header,main,footer{max-width:62rem;margin:0 auto;padding:0 1rem}
    header{padding-top:1.5rem}footer{padding-bottom:2rem;color:var(--soft)}
    h1{font-size:1.7rem;line-height:1.2;margin:.2em 0}h2{font-size:1.3rem;margin:2.2rem 0 .4rem}
    h3{font-size:1.1rem;margin:1.6rem 0 .3rem}p{margin:.4rem 0 .8rem}
    a{color:var(--link)}
    nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1rem;padding:0;list-style:none}
    code,pre{font-family:ui-monospace,monospace;font-size:.88em}
    pre{background:var(--panel);border:1px solid var(--edge);border-radius:6px;padding:.6rem .8rem;\
    white-space:pre-wrap;margin:.3rem 0 1rem}
    .lead,.absent,figcaption,caption{color:var(--soft)}
    .absent{border-left:3px solid var(--edge);padding-left:.7rem}
    .passed{color:var(--good);font-weight:600}.failed{color:var(--bad);font-weight:600}
    .scroll{overflow-x:auto;margin:.4rem 0 1rem}
    table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums}
    caption{text-align:left;font-size:.88rem;padding-bottom:.3rem}
    th,td{padding:.25rem .7rem .25rem 0;border-bottom:1px solid var(--edge);text-align:right;\
    vertical-align:top;overflow-wrap:normal}
    th:first-child{text-align:left}td.left,th.left{text-align:left}
    tbody th{font-weight:500}
    td{max-width:26rem}
    details{margin:.3rem 0 1rem}summary{cursor:pointer;color:var(--link)}
    .figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:1rem 2rem;\
    align-items:start}
    figure{margin:.6rem 0;min-width:0}figcaption{font-size:.92rem;margin-bottom:.2rem}
    svg{display:block;width:100%;height:auto;max-width:36rem}
    svg text{font:12px system-ui,sans-serif;fill:var(--ink)}
    svg .grid{stroke:var(--grid);stroke-width:1}svg .line{fill:none;stroke-width:2}
    svg .bar{fill:#0072b2}svg .empty{fill:var(--panel)}
    .legend{display:flex;flex-wrap:wrap;gap:.1rem 1rem;padding:0;margin:.2rem 0;list-style:none;font-size:.88rem}
    .swatch{display:inline-block;width:.9rem;height:.3rem;margin-right:.4rem;vertical-align:middle}
    .pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,18rem),1fr));gap:0 1rem}
    .pair pre{margin:.2rem 0 .6rem}.pair p{margin:.2rem 0 0;color:var(--soft);font-size:.88rem}
    dl{display:grid;grid-template-columns:fit-content(50%) 1fr;gap:.15rem 1rem;margin:.4rem 0 1rem}
    dt{color:var(--soft)}dd{margin:0;font-variant-numeric:tabular-nums}
    @media(max-width:30rem){h1{font-size:1.4rem}}

    """

  /// The colours of lines in legends.
  private static var swatches: String {
    LinePlot.colors.enumerated().map { ".s\($0){background:\($1)}" }.joined()
  }
}
