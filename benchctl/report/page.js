// Draws the figures of the page from the data beside them, in the colours of the page.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const touch = matchMedia("(pointer: coarse)").matches;
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function themed(layout) {
    const ink = css("--ink"), rule = css("--rule");
    const axis = { gridcolor: rule, zerolinecolor: rule, linecolor: rule, title: { standoff: 8 } };
    const merge = (own) => ({ ...axis, ...own, title: { ...axis.title, ...own.title } });
    return {
      ...layout,
      font: { family: css("--font"), size: 13, color: ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: css("--card"), bordercolor: rule, font: { color: ink }, align: "left" },
      hovermode: "closest",
      dragmode: touch ? false : "zoom",
      xaxis: merge(layout.xaxis),
      yaxis: merge(layout.yaxis),
      shapes: (layout.shapes || []).map((s) => (s.type === "line" ? { ...s, line: { ...s.line, color: ink } } : s)),
    };
  }

  function draw() {
    for (const [id, figure] of Object.entries(figures)) {
      const place = document.getElementById(id);
      place.hidden = false;
      Plotly.react(place, figure.data, themed(figure.layout), { responsive: true, displayModeBar: false });
    }
  }

  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
