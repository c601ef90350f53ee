// Made by `ringcast types kinds:registry` from the annotations of the actors; do not edit.

/** A dataclass of pydantic's: it says itself what is sent of it, and so of what is inside. */
export interface Badge {
  badgeNumber: number;
  inside: KindsItem | null;
}

/** A dataclass of pydantic's: it says itself what is sent of it, and so of what is inside. */
export interface BadgeInput {
  badgeNumber: number;
  secret?: string;
  inside?: KindsItemInput | null;
}

export interface Card {
  method: "card";
  digits: string;
}

export interface CardInput {
  method?: "card";
  digits: string;
}

export interface Cash {
  method: "cash";
}

export interface CashInput {
  method?: "cash";
}

/** What it looks like: `*\/` is no end here. */
export type Colour = "red" | "green";

export interface Customer {
  name: string;
  vip?: boolean;
}

/** Is sent as something that it does not take. */
export interface Day {
  day: number;
}

/** Is sent as something that it does not take. */
export interface DayInput {
  /** A date, as ISO 8601. */
  day: string;
}

export type Empty = { [key: string]: never };

export interface Goods {
  title: string;
  items: KindsItem[];
}

export interface GoodsInput {
  title: string;
  items?: KindsItemInput[];
}

/** Its underscore is for nobody; a dataclass of pydantic's inside says for itself what is sent. */
export interface Held {
  badge: Badge;
}

/** Its underscore is for nobody; a dataclass of pydantic's inside says for itself what is sent. */
export interface HeldInput {
  badge: BadgeInput;
  _password?: string;
}

export type Json = { [key: string]: Json } | Json[] | string | number | null;

/** A thing to buy. */
export interface KindsItem {
  id: string;
  /** In euros. */
  price: string;
  colour: Colour;
  tags: string[];
  made: string | null;
}

/** A thing to buy. */
export interface KindsItemInput {
  id: string;
  /** In euros. */
  price: number | string;
  colour?: Colour;
  tags?: string[];
  made?: string | null;
}

export interface KindsStockItem {
  shelf: number;
}

export interface Loose {
  known: number;
  [key: string]: unknown;
}

export type Numbers = number[];

/** Some may be absent. */
export interface Options {
  size: number;
  label?: string;
}

/** Sent under other names than its own. */
export interface Order {
  /** Counts from 1. */
  orderNumber: number;
  /** A duration, as ISO 8601. */
  wait: string;
  double: number;
}

/** Sent under other names than its own. */
export interface OrderInput {
  /** Counts from 1. */
  orderNumber: number;
  /** A duration, as ISO 8601. */
  wait?: string;
  secret?: string;
}

export interface PageItem {
  items: KindsItem[];
  more: boolean;
}

export interface PageItemInput {
  items: KindsItemInput[];
  more?: boolean;
}

export interface PageStr {
  items: string[];
  more: boolean;
}

export interface PageStrInput {
  items: string[];
  more?: boolean;
}

/** The same on a dataclass, where it changes nothing. */
export interface PlainDay {
  /** A date, as ISO 8601. */
  day: string;
}

export type Point = [x: number, y: number];

export type PointInput = [x: number, y?: number];

export type Rank = 1 | 2;

/** TypeScript has a type of this name, too. */
export interface Record {
  number: number;
}

export type Rights = number;

export interface Tree {
  name: string;
  branches: Tree[];
}

export interface TreeInput {
  name: string;
  branches?: TreeInput[];
}

/** The actors: `createClient<Registry>(url)`. */
export interface Registry {
  /** Gives and takes a value of each kind, and sends each as an event when it is given. */
  kinds: {
    actions: {
      giveAnything(): unknown;
      giveBytes(): string | Uint8Array;
      giveChoice(): Card | Cash;
      giveData(): KindsItem;
      giveDataclassOfPydantic(): Badge;
      giveDate(): string;
      giveDateTime(): string;
      giveDecimal(): string;
      giveDeque(): number[];
      giveDict(): { [key: string]: number[] };
      giveEmpty(): Empty;
      giveEnum(): Colour;
      giveEnumKeys(): { [key in Colour]?: number };
      giveFlag(): Rights;
      giveFrozenSet(): number[];
      giveGeneric(): PageItem;
      giveGenericOfText(): PageStr;
      giveHeld(): Held;
      giveIntEnum(): Rank;
      giveIntKeys(): { [key: string]: string };
      giveLimited(): number;
      giveList(): KindsItem[];
      giveListOfBytes(): (string | Uint8Array)[];
      giveLiteral(): "a" | 1 | true | null;
      giveLiteralKeys(): { [key in "a" | "b"]?: number };
      giveLiteralOfBoth(): 1 | "a";
      giveLoose(): Loose;
      giveModel(): Order;
      giveModelOfItsOwnMind(): Day;
      giveNamedTuple(): Point;
      giveNewType(): string;
      giveNoTuple(): [];
      giveNothing(): void;
      giveNumber(): number;
      giveOptional(): number | null;
      giveOtherItem(): KindsStockItem;
      givePair(): [number, string];
      givePath(): string;
      givePlainDay(): PlainDay;
      giveRecord(): Record;
      giveRecursive(): Json;
      giveRoot(): Numbers;
      giveSequence(): number[];
      giveSet(): string[];
      giveSeveral(): number[];
      giveText(): string;
      giveTime(): string;
      giveTimeDelta(): string;
      giveTree(): Tree;
      giveTruth(): boolean;
      giveTruthOrNone(): boolean | null;
      giveTypedDict(): Options;
      giveUnion(): number | string | string[];
      giveUuid(): string;
      giveWhole(): number;
      takeAnything(value: unknown): void;
      takeBytes(value: string | Uint8Array): void;
      takeChoice(value: CardInput | CashInput): void;
      takeData(value: KindsItemInput): void;
      takeDataclassOfPydantic(value: BadgeInput): void;
      takeDate(value: string): void;
      takeDateTime(value: string): void;
      takeDecimal(value: number | string): void;
      takeDeque(value: number[]): void;
      takeDict(value: { [key: string]: number[] }): void;
      takeEmpty(value: Empty): void;
      takeEnum(value: Colour): void;
      takeEnumKeys(value: { [key in Colour]?: number }): void;
      takeFlag(value: Rights): void;
      takeFrozenSet(value: number[]): void;
      takeGeneric(value: PageItemInput): void;
      takeGenericOfText(value: PageStrInput): void;
      takeHeld(value: HeldInput): void;
      takeIntEnum(value: Rank): void;
      takeIntKeys(value: { [key: string]: string }): void;
      takeLimited(value: number): void;
      takeList(value: KindsItemInput[]): void;
      takeListOfBytes(value: (string | Uint8Array)[]): void;
      takeLiteral(value: "a" | 1 | true | null): void;
      takeLiteralKeys(value: { [key in "a" | "b"]?: number }): void;
      takeLiteralOfBoth(value: 1 | "a"): void;
      takeLoose(value: Loose): void;
      takeModel(value: OrderInput): void;
      takeModelOfItsOwnMind(value: DayInput): void;
      takeNamedTuple(value: PointInput): void;
      takeNewType(value: string): void;
      takeNoTuple(value: []): void;
      takeNothing(value: null): void;
      takeNumber(value: number): void;
      takeOptional(value: number | null): void;
      takeOtherItem(value: KindsStockItem): void;
      takePair(value: [number, string]): void;
      takePath(value: string): void;
      takePlainDay(value: PlainDay): void;
      takeRecord(value: Record): void;
      takeRecursive(value: Json): void;
      takeRoot(value: Numbers): void;
      takeSequence(value: number[]): void;
      takeSet(value: string[]): void;
      takeSeveral(value: number[]): void;
      takeText(value: string): void;
      takeTime(value: string): void;
      takeTimeDelta(value: string): void;
      takeTree(value: TreeInput): void;
      takeTruth(value: boolean): void;
      takeTruthOrNone(value: boolean | null): void;
      takeTypedDict(value: Options): void;
      takeUnion(value: number | string | string[]): void;
      takeUuid(value: string): void;
      takeWhole(value: number): void;
    };
    events: {
      text: [data: string];
      whole: [data: number];
      number: [data: number];
      truth: [data: boolean];
      nothing: [];
      optional: [data: number | null];
      truth_or_none: [data: boolean | null];
      union: [data: number | string | string[]];
      literal: [data: "a" | 1 | true | null];
      literal_of_both: [data: 1 | "a"];
      enum: [data: Colour];
      int_enum: [data: Rank];
      flag: [data: Rights];
      new_type: [data: string];
      limited: [data: number];
      list: [data: KindsItem[]];
      sequence: [data: number[]];
      set: [data: string[]];
      frozen_set: [data: number[]];
      deque: [data: number[]];
      pair: [data: [number, string]];
      several: [data: number[]];
      no_tuple: [data: []];
      named_tuple: [data: Point];
      dict: [data: { [key: string]: number[] }];
      int_keys: [data: { [key: string]: string }];
      enum_keys: [data: { [key in Colour]?: number }];
      literal_keys: [data: { [key in "a" | "b"]?: number }];
      date_time: [data: string];
      date: [data: string];
      time: [data: string];
      time_delta: [data: string];
      uuid: [data: string];
      decimal: [data: string];
      path: [data: string];
      bytes: [data: string | Uint8Array];
      list_of_bytes: [data: (string | Uint8Array)[]];
      data: [data: KindsItem];
      other_item: [data: KindsStockItem];
      generic: [data: PageItem];
      generic_of_text: [data: PageStr];
      tree: [data: Tree];
      empty: [data: Empty];
      record: [data: Record];
      typed_dict: [data: Options];
      model: [data: Order];
      dataclass_of_pydantic: [data: Badge];
      held: [data: Held];
      model_of_its_own_mind: [data: Day];
      plain_day: [data: PlainDay];
      choice: [data: Card | Cash];
      loose: [data: Loose];
      root: [data: Numbers];
      recursive: [data: Json];
      anything: [data: unknown];
    };
  };
  /** One shop. */
  shop: {
    params: Customer;
    input: GoodsInput;
    actions: {
      find(...words: string[]): KindsItem | null;
      /** What is left out in the middle of its arguments is null, where that means the same. */
      listSome(
        ...args:
          | []
          | [first: number, colour?: Colour | null]
          | [first: number, colour: Colour | null | undefined, most: number, last?: string | null]
      ): unknown[];
      /** Names that TypeScript has for itself, and an argument that no client can give. */
      "new"(default_: string): void;
      /**
       * Sell it so many times.
       *
       * Nobody hears of it.
       */
      sell(...args: [thing: KindsItemInput] | [thing: KindsItemInput, copies: number]): KindsItem[];
      unannotated(a: unknown, b?: unknown): unknown;
    };
    events: {
      closed: [];
      sold: [data: KindsItem];
      /** Where to, and who did it. */
      moved: [x: number, y: number, by: string | null];
    };
    snapshot: Goods;
  };
  /** Declares no events, and takes what it is given. */
  silent: {
    actions: {
      say(text: string): void;
    };
    /** It does not declare its events: any name and arguments are allowed. */
    events: { [event: string]: any[] };
  };
  /** Has nothing to call, and nothing to listen for. */
  idle: {
    actions: { [name in never]: never };
    events: { [name in never]: never };
  };
  camera: {
    actions: {
      shoot(picture: string | Uint8Array): void;
    };
    events: {
      frame: [data: Uint8Array];
    };
  };
}
