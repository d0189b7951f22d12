package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
)

// request is what is known of a request when it is over, with all its tries.
type request struct {
	end     time.Time
	latency time.Duration // from the first try to the last answer
	points  int
	retries int
	message string // why it failed; empty when it did not

	payload, raw, meta int // bytes
}

// report has the keys of Xephon-B, in nanoseconds and bytes, and one of its own: retriedRequests.
// A failed request counts in totalRequests and failedRequests, and nowhere else.
type report struct {
	AvgLatency      int64 `json:"avgLatency"`
	DataRatio       int   `json:"dataRatio"` // percent of rawSize that is times and values, not names and tags
	Duration        int64 `json:"duration"`
	FailedRequests  int64 `json:"failedRequests"`
	MaxLatency      int64 `json:"maxLatency"`
	MinLatency      int64 `json:"minLatency"`
	PayloadSize     int64 `json:"payloadSize"`
	RawMetaSize     int64 `json:"rawMetaSize"`
	RawSize         int64 `json:"rawSize"`
	RetriedRequests int64 `json:"retriedRequests"`
	TotalPoints     int64 `json:"totalPoints"`
	TotalRequests   int64 `json:"totalRequests"`
}

type counter struct {
	mutex    sync.Mutex
	so       report
	sum      time.Duration
	messages map[string]int
	lines    *bufio.Writer
}

func newCounter(lines io.Writer) *counter {
	return &counter{so: report{MinLatency: math.MaxInt64}, messages: map[string]int{}, lines: bufio.NewWriter(lines)}
}

// add counts a request, and writes its line: microseconds since the epoch, microseconds, points, retries, outcome.
func (c *counter) add(r request) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	outcome := "ok"
	c.so.TotalRequests++
	if r.retries > 0 {
		c.so.RetriedRequests++
	}
	if r.message != "" {
		outcome = "failed"
		c.so.FailedRequests++
		c.messages[r.message]++
	} else {
		c.so.TotalPoints += int64(r.points)
		c.so.PayloadSize += int64(r.payload)
		c.so.RawSize += int64(r.raw)
		c.so.RawMetaSize += int64(r.meta)
		c.so.MinLatency = min(c.so.MinLatency, r.latency.Nanoseconds())
		c.so.MaxLatency = max(c.so.MaxLatency, r.latency.Nanoseconds())
		c.sum += r.latency
	}
	fmt.Fprintf(c.lines, "%d %d %d %d %s\n", r.end.UnixMicro(), r.latency.Microseconds(), r.points, r.retries, outcome)
}

func (c *counter) flush() error { return c.lines.Flush() }

func (c *counter) report(duration time.Duration) report {
	so := c.so
	so.Duration = duration.Nanoseconds()
	if succeeded := so.TotalRequests - so.FailedRequests; succeeded > 0 {
		so.AvgLatency = c.sum.Nanoseconds() / succeeded
		so.DataRatio = int((so.RawSize - so.RawMetaSize) * 100 / so.RawSize)
	} else {
		so.MinLatency = 0
	}
	return so
}
