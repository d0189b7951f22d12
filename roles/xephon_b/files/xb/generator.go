package main

import (
	"fmt"
	"math/rand"

	"github.com/libtsdb/libtsdb-go/libtsdb"
	pb "github.com/libtsdb/libtsdb-go/libtsdb/libtsdbpb"
)

// series is the part of a request that belongs to one series.
type series pb.SeriesDoubleTagged

func (s *series) write(client libtsdb.WriteClient, group bool) {
	if group {
		client.WriteSeriesDoubleTagged((*pb.SeriesDoubleTagged)(s))
		return
	}
	for _, point := range s.Points {
		client.WriteDoublePoint(&pb.PointDoubleTagged{Name: s.Name, Point: point, Tags: s.Tags})
	}
}

// generator gives the points of one worker. No two points of a series have the same time: the later one would
// take the place of the earlier.
type generator struct {
	options Options
	tags    [][]pb.Tag
	times   []int64 // of each series' next point, in milliseconds
	turn    int     // the series that comes next
	random  *rand.Rand
}

func newGenerator(o Options, worker int, first int64) *generator {
	g := &generator{options: o, random: rand.New(rand.NewSource(o.Seed + int64(worker)))}
	for number := range o.Series {
		tags := []pb.Tag{{K: "worker", V: fmt.Sprint(worker)}, {K: "series", V: fmt.Sprint(number)}}
		for more := 2; more < o.NumTags; more++ {
			tags = append(tags, pb.Tag{K: fmt.Sprintf("tag%d", more), V: fmt.Sprintf("value%d", more)})
		}
		g.tags = append(g.tags, tags)
		g.times = append(g.times, first)
	}
	return g
}

func (g *generator) next() []series {
	batch := make([]series, g.options.BatchSeries)
	for index := range batch {
		at := g.turn % g.options.Series
		g.turn++
		points := make([]pb.PointDouble, g.options.BatchPoints)
		for number := range points {
			points[number] = pb.PointDouble{T: g.times[at], V: g.value()}
			g.times[at] += g.options.Interval.Milliseconds()
		}
		batch[index] = series{Name: g.options.Prefix, Tags: g.tags[at], Points: points}
	}
	return batch
}

// newest returns a time that no point of the worker is later than.
func (g *generator) newest() int64 { return latest(g.times) }

func (g *generator) value() float64 {
	if g.options.Generator == "constant" {
		return g.options.Constant
	}
	return g.options.Min + g.random.Float64()*(g.options.Max-g.options.Min)
}

func latest(times []int64) int64 {
	var found int64
	for _, one := range times {
		found = max(found, one)
	}
	return found
}
