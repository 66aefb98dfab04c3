//! What was measured, as a picture: octets and memory against nodes, both on logarithmic scales.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::measure::Measured;

/// What holds for both panels, in pixels.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 240.0;
const TOP: f64 = 50.0;
/// Lines of text do not come closer than this.
const LINE: f64 = 14.0;

/// Colours that can be told from each other on white and on black, with the text around them.
const STYLE: &str = "text{font:12px sans-serif;fill:#333}.title{font-weight:bold}.grid{stroke:#ddd;fill:none}\
.line{fill:none;stroke-width:2}.dashed{stroke-dasharray:5 4}\
.c0{stroke:#2166ac;fill:#2166ac}.c1{stroke:#b35806;fill:#b35806}.c2{stroke:#1b7837;fill:#1b7837}.c3{stroke:#8e44ad;fill:#8e44ad}\
.c4{stroke:#666;fill:#666}text.c0,text.c1,text.c2,text.c3,text.c4{stroke:none}polyline{fill:none!important}\
@media(prefers-color-scheme:dark){text{fill:#ddd}.grid{stroke:#444}\
.c0{stroke:#74add1;fill:#74add1}.c1{stroke:#fdae61;fill:#fdae61}.c2{stroke:#7fbf7b;fill:#7fbf7b}.c3{stroke:#c39bd3;fill:#c39bd3}\
.c4{stroke:#aaa;fill:#aaa}}";

struct Line {
    name: String,
    class: String,
    /// Nodes, octets.
    points: Vec<(f64, f64)>,
}

/// The picture, as SVG. It has no background, and follows the reader's preference for light or dark.
pub(crate) fn picture(all: &[Measured]) -> String {
    let globals: BTreeSet<usize> = all.iter().map(|measured| measured.size.globals).collect();
    let lines = |value: fn(&Measured) -> f64| -> Vec<Line> {
        let line = |(place, &globals): (usize, &usize)| {
            let of_size = all.iter().filter(|measured| measured.size.globals == globals);
            let points = of_size.map(|measured| (measured.size.nodes as f64, value(measured))).collect();
            let name = format!("{globals} global{}", if globals == 1 { "" } else { "s" });
            Line { name, class: format!("c{}", place % 4), points }
        };
        globals.iter().enumerate().map(line).collect()
    };
    let octets = lines(|measured| measured.start.octets as f64);
    let mut memory = lines(|measured| measured.global as f64);
    let nodes: BTreeSet<usize> = all.iter().map(|measured| measured.size.nodes).collect();
    let most =
        |nodes: usize| all.iter().filter(|measured| measured.size.nodes == nodes).map(|measured| measured.ordinary).max();
    let points = nodes.iter().filter_map(|&nodes| Some((nodes as f64, most(nodes)? as f64))).collect();
    memory.push(Line { name: "ordinary".into(), class: "c4 dashed".into(), points });
    let mut svg = String::from("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 340\" role=\"img\">\n");
    let _ = writeln!(svg, "<title>Octets and memory against nodes</title>\n<style>{STYLE}</style>");
    panel(&mut svg, 60.0, "Octets until all globals know all", &octets);
    panel(&mut svg, 460.0, "Heap of a global, and of an ordinary node", &memory);
    svg += "</svg>\n";
    svg
}

/// A scale whose ends are powers of ten.
struct Scale {
    first: i32,
    last: i32,
}

impl Scale {
    fn new(values: impl Iterator<Item = f64> + Clone) -> Self {
        let least = values.clone().fold(f64::INFINITY, f64::min).max(1.0);
        let most = values.fold(1.0, f64::max).max(least);
        let first = least.log10().floor() as i32;
        Scale { first, last: (most.log10().ceil() as i32).max(first + 1) }
    }

    /// Where a value is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        (value.max(1.0).log10() - f64::from(self.first)) / f64::from(self.last - self.first)
    }

    /// The powers of ten, where they are, and how they are called.
    fn marks(&self) -> impl Iterator<Item = (f64, String)> {
        let name = |power: i32| {
            let unit = ["", " k", " M", " G", " T"].get(power as usize / 3).copied().unwrap_or("");
            format!("{}{unit}", 10_u32.pow(power as u32 % 3))
        };
        (self.first..=self.last).map(move |power| (self.place(10_f64.powi(power)), name(power)))
    }
}

fn panel(svg: &mut String, left: f64, title: &str, lines: &[Line]) {
    let points = lines.iter().flat_map(|line| &line.points);
    let (across, up) = (Scale::new(points.clone().map(|(nodes, _)| *nodes)), Scale::new(points.map(|(_, octets)| *octets)));
    let bottom = TOP + HEIGHT;
    let _ = writeln!(svg, "<text class=\"title\" x=\"{left}\" y=\"{}\">{title}</text>", TOP - 20.0);
    for (place, name) in across.marks() {
        let x = left + place * WIDTH;
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom}\"/>");
        let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>", bottom + 18.0);
    }
    let _ = writeln!(svg, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">nodes</text>", left + WIDTH / 2.0, bottom + 36.0);
    for (place, name) in up.marks() {
        let y = bottom - place * HEIGHT;
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{left} {y:.1}h{WIDTH}\"/>");
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>", left - 6.0, y + 4.0);
    }
    let mut names: Vec<(f64, &Line)> = Vec::new();
    for line in lines {
        let at = |(nodes, octets): &(f64, f64)| (left + across.place(*nodes) * WIDTH, bottom - up.place(*octets) * HEIGHT);
        let places: Vec<_> = line.points.iter().map(at).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(svg, "<polyline class=\"line {}\" points=\"{}\"/>", line.class, path.join(" "));
        for (x, y) in &places {
            let _ = writeln!(svg, "<circle class=\"{}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\"/>", line.class);
        }
        names.extend(places.last().map(|(_, y)| (*y, line)));
    }
    // From below upwards, each name at its line, or as near as there is room.
    names.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut room = f64::INFINITY;
    for (y, Line { name, class, .. }) in names {
        let y = y.min(room);
        room = y - LINE;
        let _ = writeln!(svg, "<text class=\"{class}\" x=\"{}\" y=\"{:.1}\">{name}</text>", left + WIDTH + 8.0, y + 4.0);
    }
}
